"""What a GPU makes of learning: triples a second, quality, and whether it repeats itself, beside the CPU.

uv run python benchmarks/gpu.py            # some minutes; without a GPU it shows the CPU alone
uv run python benchmarks/gpu.py --only bpr vbpr
uv run python benchmarks/gpu.py --json FILE

Each model learns the same drawn data from the same seed, on the CPU, then twice on the GPU. Speed is that of the
epochs after the first, in which kernels are chosen and memory is got. Quality is the AUC of one held-out item of each
user. It has not been run on a GPU yet.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Table, described, machine

import visrec
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.training.pairwise import PairwiseRecommender

DEVICES = ("cpu", "cuda", "cuda") if torch.cuda.is_available() else ("cpu",)
D = 16  # of the tastes behind the data


def models() -> dict[str, tuple[PairwiseRecommender, dict[str, int]]]:
    """By name, the model and the size of its data: items, users, what each took, R and F or the side of pictures."""
    large = {"items": 20_000, "users": 2_000, "each": 100}
    small = {"items": 1_000, "users": 500, "each": 8}
    given: dict[str, Any] = {"patience": 99}
    return {
        "bpr": (visrec.BPR(epochs=6, batch_size=8192, **given), large),
        "vbpr": (visrec.VBPR(epochs=4, batch_size=8192, **given), {**large, "F": 2048}),
        "curatornet": (
            visrec.CuratorNet(epochs=3, batch_size=1024, max_history=20, **given),
            {**large, "each": 10, "F": 2048},
        ),
        "acf": (
            visrec.ACF(epochs=3, batch_size=1024, **given),
            {**small, "items": 2_000, "each": 10, "R": 49, "F": 512},
        ),
        "dvbpr": (visrec.DVBPR(epochs=2, **given), {**small, "side": 64}),
    }


def drawn(size: dict[str, int]) -> tuple[Interactions, Interactions, Features | None]:
    """(train, valid, content): users take what lies near their taste, and content shows where an item lies."""
    rng = np.random.default_rng(0)
    items, users, each = size["items"], size["users"], size["each"]
    of_items, of_users = rng.normal(size=(items, D)), rng.normal(size=(users, D))
    noise = rng.gumbel(size=(users, items)).astype(np.float32)
    took = np.argpartition(-(of_users @ of_items.T + noise), each, axis=1)[:, : each + 1]  # (U, each + 1)
    took = rng.permuted(took, axis=1)
    ids = IdMap(range(users), kind="user"), IdMap(range(items), kind="item")

    def part(columns: slice) -> Interactions:
        item = took[:, columns].ravel()
        user = np.repeat(np.arange(users), len(item) // users)
        return Interactions(user, item, np.arange(len(item)), np.ones(len(item)), *ids)

    train, valid = part(slice(each)), part(slice(each, None))
    if "F" in size:
        values = of_items.astype(np.float32) @ rng.normal(size=(D, size["F"])).astype(np.float32)  # (I, F)
        if "R" in size:  # each region shows some of it, the first one nearly all
            part = np.linspace(1, 0, size["R"], endpoint=False, dtype=np.float32)
            values = (values[:, None] * part[:, None]).astype(np.float16)  # (I, R, F)
        return train, valid, Features.from_array(values, ids[1].values)
    if "side" in size:  # 4 x 4 fields, as bright as the item's place is far out
        side = size["side"]
        fields = np.clip(128 + 50 * of_items, 0, 255).reshape(items, 4, 4)
        pixels = np.kron(fields, np.ones((1, side // 4, side // 4)))[..., None].repeat(3, axis=3)
        return train, valid, Features.from_array(pixels.astype(np.uint8), ids[1].values)
    return train, valid, None


def learnt(name: str, device: str) -> dict[str, Any]:
    """One fit: triples a second, the best AUC, and the digest of the model."""
    model, size = models()[name]
    model = type(model)(model.config, device=device, valid_metric="auc")
    train, valid, content = drawn(size)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model.fit(train, content, valid=valid)
    steady = model.training_log[1:]
    return {
        "model": name,
        "device": device,
        "triples": sum(line["triples"] for line in steady) / sum(line["seconds"] for line in steady),
        "auc": max(line["valid"] for line in model.training_log),
        "memory": torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None,
        "digest": model.digest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(models()), default=list(models()))
    parser.add_argument("--json", type=Path, help="write all figures there")
    args = parser.parse_args()
    about = machine()
    print(described(about))
    if about["gpu"] is None:
        print("torch sees no GPU here: the figures are the CPU's.")
    table, found = Table(["", "device", "triples/s", "AUC", "GPU MiB", "repeats"]), []
    for name in args.only:
        runs = [learnt(name, device) for device in DEVICES]
        found += runs
        for run in runs[:2]:
            on_gpu = run["device"] == "cuda"
            row = [name, run["device"], f"{run['triples']:,.0f}", f"{run['auc']:.4f}"]
            same = ("yes" if runs[1]["digest"] == runs[2]["digest"] else "no") if on_gpu else ""
            table.rows.append([*row, f"{run['memory']:,.0f}" if on_gpu else "", same])
    table.show()
    if args.json is not None:
        args.json.write_text(json.dumps({"machine": about, "found": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
