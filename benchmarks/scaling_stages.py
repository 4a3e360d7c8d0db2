"""The stages of the scaling study: what each is given and what is measured of it; scaling.py runs them one by one.

uv run python benchmarks/scaling_stages.py STAGE USERS ITEMS INTERACTIONS FEATURES FOLDER STEPS
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ASKED = 1_000  # users who are evaluated, and who get lists
BATCH = 8_192
DIM = 64  # of gamma and of theta
_CHUNK = 5_000_000  # rows that are drawn, or written, at once
_ROWS = 16_384  # features that are written at once


@dataclass(frozen=True)
class Size:
    """How large a world is."""

    users: int
    items: int
    interactions: int
    features: int

    @property
    def key(self) -> str:
        """For names of files."""
        return "-".join(map(str, (self.users, self.items, self.interactions, self.features)))


# ---- the world -------------------------------------------------------------------------------------------


def generate(out: Path, size: Size) -> None:
    """Write what is not there yet: interactions as a data set folder and as arrays, and features on disk."""
    folder = data_folder(out, size)
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        user, item, order = _pairs(size)
        np.save(folder / "user.npy", user[order])
        np.save(folder / "item.npy", item[order])
        moment = np.empty(len(order), dtype=np.int64)
        moment[order] = _times(len(order))
        _write_tables(folder, size, pl.DataFrame({"user": user, "item": item, "timestamp": moment}))
        (folder / "done").touch()
    if not (features_folder(out, size) / "meta.json").exists():
        _write_features(features_folder(out, size), size)


def data_folder(out: Path, size: Size) -> Path:
    """Where the interactions are."""
    return out / "data" / f"{size.users}-{size.items}-{size.interactions}"


def features_folder(out: Path, size: Size) -> Path:
    """Where the features are."""
    return out / "features" / f"{size.items}-{size.features}"


def _pairs(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct pairs, users and items in a long tail; and their order in time, which is random; `(N,)` each."""
    rng = np.random.default_rng([size.users, size.items, size.interactions])
    n_blocks = -(-size.interactions // _CHUNK)
    users, items = [], []
    for block in range(n_blocks):  # of users, so that a pair can only be repeated within a block
        n = size.interactions * (block + 1) // n_blocks - size.interactions * block // n_blocks
        pairs = np.zeros(0, dtype=np.int64)
        while len(pairs) < n:
            more = n - len(pairs) + 1000
            user = (size.users * rng.random(more) ** 1.5).astype(np.int64) // n_blocks * n_blocks + block
            item = (size.items * rng.random(more) ** 2).astype(np.int64)
            pairs = np.unique(np.concatenate([pairs, user * size.items + item]))
        pairs = rng.permutation(pairs)[:n]  # by no order but that of blocks of users
        # Frequent ones shall not stand together in the order of ids.
        users.append((pairs // size.items * 1_000_003 % size.users).astype(np.int32))
        items.append((pairs % size.items * 1_000_003 % size.items).astype(np.int32))
    return np.concatenate(users), np.concatenate(items), rng.permutation(size.interactions)


def _write_tables(folder: Path, size: Size, table: pl.DataFrame) -> None:
    parts = []
    for start in range(0, size.interactions, _CHUNK):
        parts.append(folder / f"part-{start}.parquet")
        # 14 and 10 signs, as long as those of Amazon.
        columns = _ids("user", "A", 13), _ids("item", "B", 9), "timestamp"
        table[start : start + _CHUNK].select(*columns).write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(folder / "interactions.parquet")
    for part in parts:
        part.unlink()
    items = pl.DataFrame({"item": np.arange(size.items)})
    items.select(_ids("item", "B", 9)).write_parquet(folder / "items.parquet")


def _ids(column: str, letter: str, width: int) -> pl.Expr:
    text = pl.format("{}{}", pl.lit(letter), pl.col(column).cast(pl.String).str.zfill(width))
    return text.alias(f"{column}_id")


def _times(n: int) -> np.ndarray:
    """Seconds, one after the other."""
    return 1_262_304_000 + np.arange(n, dtype=np.int64)


def _write_features(folder: Path, size: Size) -> None:
    """Random float16, in blocks."""
    from visrec.data.ids import IdMap
    from visrec.features.features import VALUES, Features, digest_of_all_but_values, failures_table

    rng = np.random.default_rng([size.items, size.features])
    items, missing = IdMap(np.arange(size.items), kind="item"), np.zeros(size.items, dtype=bool)
    temporary = folder.with_suffix(".part")
    temporary.mkdir(parents=True, exist_ok=True)
    shape = (size.items, size.features)
    values = np.lib.format.open_memmap(temporary / VALUES, mode="w+", dtype=np.float16, shape=shape)
    digest = digest_of_all_but_values(items, missing, shape, values.dtype)
    for start in range(0, size.items, _ROWS):
        rows = rng.standard_normal((min(_ROWS, size.items - start), size.features), dtype=np.float32)
        values[start : start + _ROWS] = rows
        digest.update(np.ascontiguousarray(values[start : start + _ROWS]).data)
    values.flush()
    about = Features(values, items, missing, failures_table(items, missing, []), {"extractor": "random"})
    about.write_about(temporary, digest.hexdigest(), None)
    temporary.rename(folder)


# ---- measuring -------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """What a stage did and what it took. Its memory is watched from outside, between "begin" and "end"."""

    processor: float = 0.0
    clock: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Measured:
        tell("begin")
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.processor:  # the stage has not said it by itself
            self.processor = time.process_time() - self._start[0]
            self.clock = time.perf_counter() - self._start[1]
        tell("end")


def tell(what: str, **facts: Any) -> None:
    """A line to whoever watches."""
    print(json.dumps({"event": what, **facts}), flush=True)


@dataclass(frozen=True)
class World:
    """What stages begin from."""

    out: Path
    size: Size
    steps: int

    def interactions(self) -> Any:
        """All of them, already in order."""
        folder = data_folder(self.out, self.size)
        return _interactions(self.size, np.load(folder / "user.npy"), np.load(folder / "item.npy"))

    def features(self) -> Any:
        """Mapped, not read."""
        from visrec.features.features import Features

        return Features.load(features_folder(self.out, self.size), verify=False)

    @property
    def model_folder(self) -> Path:
        """Where the stage "vbpr" leaves its model for the stages after it."""
        return self.out / "models" / self.size.key

    def model(self, *, with_features: bool = False) -> Any:
        """What the stage "vbpr" left."""
        from visrec.recommender import load_model

        return load_model(self.model_folder, self.features() if with_features else None)

    def asked(self) -> np.ndarray:
        """Users, spread over all."""
        return np.unique(np.linspace(0, self.size.users - 1, ASKED).astype(np.int64))


def _interactions(size: Size, user: np.ndarray, item: np.ndarray) -> Any:
    """Rows `(N,)` by index, which are the ids too, one after the other in time."""
    from visrec.data.ids import IdMap
    from visrec.data.interactions import Interactions

    ones = np.ones(len(user), dtype=np.float32)
    users, items = IdMap(np.arange(size.users), kind="user"), IdMap(np.arange(size.items), kind="item")
    return Interactions(user, item, _times(len(user)), ones, users, items)


# ---- the stages ------------------------------------------------------------------------------------------


def read(world: World) -> Measured:
    """`load_dataset` of a Parquet file with text ids."""
    from visrec.data.dataset import load_dataset

    with Measured() as measured:
        load_dataset(data_folder(world.out, world.size), missing_images="mask")
    return measured


def split(world: World) -> Measured:
    """`leave_last_out`."""
    from visrec.data.splits import leave_last_out

    whole = world.interactions()
    with Measured() as measured:
        leave_last_out(whole)
    return measured


def sampler(world: World) -> Measured:
    """Making a `UniformSampler`."""
    from visrec.training.sampling import UniformSampler

    whole = world.interactions()
    with Measured() as measured:
        UniformSampler(whole, negatives="interacted")
    return measured


def sampling(world: World) -> Measured:
    """One epoch of it, a negative for each positive."""
    from visrec.training.sampling import UniformSampler

    drawn = UniformSampler(world.interactions(), negatives="interacted")
    next(drawn.epoch(BATCH, np.random.default_rng(0)))  # compiled
    with Measured() as measured:
        n = sum(len(batch) for batch in drawn.epoch(BATCH, np.random.default_rng(0)))
    measured.facts["per second"] = n / measured.clock
    return measured


def bpr(world: World) -> Measured:
    """An epoch of BPR."""
    import visrec

    return _fitted(world, visrec.BPR(dim_gamma=DIM, epochs=1, batch_size=BATCH), None)[0]


def vbpr(world: World) -> Measured:
    """An epoch of VBPR; features of up to 2 GiB are copied from disk into memory while it learns."""
    measured, fitted = _fitted(world, _vbpr(), world.features())
    fitted.save(world.model_folder)
    return measured


def vbpr_from_disk(world: World) -> Measured:
    """The same where there is no room for a copy: the rows of each batch are read from the mapped file."""
    from visrec.training import device

    device._ROOM = 0  # as larger features would find it
    return _fitted(world, _vbpr(), world.features())[0]


def start_of_training(world: World) -> Measured:
    """VBPR before its second step: model, sampler, copy of features, an epoch dealt out, the first step."""
    from visrec.features.features import Features
    from visrec.training.sampling import UniformSampler

    few = Size(50, 100, 1_000, 8)
    numbers = np.random.default_rng(0).random((few.items, few.features), dtype=np.float32)
    user, item = np.repeat(np.arange(few.users), 20), np.tile(np.arange(few.items), 10)
    _vbpr().fit(
        _interactions(few, user, item), Features.from_array(numbers, np.arange(few.items))
    )  # compiled

    whole, train, features = UniformSampler.epoch, world.interactions(), world.features()

    def first(self: UniformSampler, batch_size: int, rng: np.random.Generator) -> Iterator[Any]:
        yield next(whole(self, batch_size, rng))
        raise _StartedError

    UniformSampler.epoch = first  # type: ignore[method-assign]
    with Measured() as measured, suppress(_StartedError):
        _vbpr().fit(train, features)
    return measured


class _StartedError(Exception):
    """A step has been taken."""


def _vbpr() -> Any:
    import visrec

    return visrec.VBPR(dim_gamma=DIM, dim_theta=DIM, epochs=1, batch_size=BATCH)


def _fitted(world: World, model: Any, features: Any) -> tuple[Measured, Any]:
    """Fit, but take some steps of the epoch only; its time is theirs, times as many as an epoch has.

    What comes before and after the steps is in its memory, but not in its time: see `start_of_training`, `refresh`.
    """
    from visrec.training.sampling import UniformSampler

    whole, train = UniformSampler.epoch, world.interactions()
    marks: list[tuple[float, float]] = []
    sizes: list[int] = []

    def some(self: UniformSampler, batch_size: int, rng: np.random.Generator) -> Iterator[Any]:
        for batch in islice(whole(self, batch_size, rng), world.steps):
            # The first step also compiles, and finds its memory.
            if len(sizes) == 1:
                marks.append((time.process_time(), time.perf_counter()))
            sizes.append(len(batch))
            yield batch
        marks.append((time.process_time(), time.perf_counter()))

    UniformSampler.epoch = some  # type: ignore[method-assign]
    with Measured() as measured:
        model.fit(train, features)
        (processor, clock), stop = marks
        triples = sum(sizes[1:])
        measured.processor = (stop[0] - processor) / triples * len(train)
        measured.clock = (stop[1] - clock) / triples * len(train)
    measured.facts |= {"steps": len(sizes), "per second": triples / (stop[1] - clock)}
    return measured, model


def refresh(world: World) -> Measured:
    """Encode the catalogue again."""
    model = world.model(with_features=True)
    with Measured() as measured:
        model.refresh()
    return measured


def evaluate(world: World) -> Measured:
    """All metrics of a fixed number of users."""
    from visrec.data.splits import Split
    from visrec.evaluation.protocol import evaluate as evaluate_

    whole, model = world.interactions(), world.model()
    newest = np.full(world.size.users, -1)
    np.maximum.at(newest, whole.user, np.arange(len(whole)))
    rows = newest[world.asked()]
    held = np.zeros(len(whole), dtype=bool)
    held[rows[rows >= 0]] = True
    test = whole.where(held)
    parts = Split(whole.where(~held), test.where(np.zeros(len(test), dtype=bool)), test)
    with Measured() as measured:
        report = evaluate_(model, parts)
    measured.facts["per second"] = report.per_user.height / measured.clock
    return measured


def recommend(world: World) -> Measured:
    """The 100 best items of a fixed number of users."""
    model, users = world.model(), world.asked().tolist()
    with Measured() as measured:
        model.recommend(users, k=100)
    measured.facts["per second"] = len(users) / measured.clock
    return measured


def save(world: World) -> Measured:
    """Write the model."""
    model, target = world.model(), world.model_folder.with_suffix(".saved")
    with Measured() as measured:
        model.save(target)
    measured.facts["MiB on disk"] = sum(file.stat().st_size for file in target.iterdir()) / 2**20
    shutil.rmtree(target)
    return measured


def load(world: World) -> Measured:
    """Read it, ready to rank."""
    import visrec

    with Measured() as measured:
        visrec.load_model(world.model_folder)
    return measured


def index(world: World) -> Measured:
    """The graph of its item vectors, for approximate search."""
    from visrec.retrieval.recommendation import index_of

    model = world.model()
    with Measured() as measured:
        found = index_of(model, kind="approximate", threads=2)
    assert found is not None
    measured.facts["recall@100"] = found.recall[100]
    return measured


STAGES: dict[str, Callable[[World], Measured]] = {
    stage.__name__.replace("_", " "): stage
    for stage in (
        read,
        split,
        sampler,
        sampling,
        start_of_training,
        bpr,
        vbpr,
        vbpr_from_disk,
        refresh,
        evaluate,
        recommend,
        save,
        load,
        index,
    )
}
"""By name, in the order in which they are run: some need what "vbpr" leaves."""


if __name__ == "__main__":
    name, *numbers, folder, steps = sys.argv[1:]
    here = World(Path(folder), Size(*map(int, numbers)), int(steps))
    if name == "generate":
        generate(here.out, here.size)
    else:
        # What is imported when it is first used shall not be part of it.
        for module in (
            "safetensors.torch",
            "numba",
            "visrec.data.dataset",
            "visrec.models.bpr",
            "visrec.models.vbpr",
            "visrec.evaluation.protocol",
            "visrec.retrieval.recommendation",
        ):
            import_module(module)
        found = STAGES[name](here)
        tell("result", processor=found.processor, clock=found.clock, **found.facts)
