"""How good features are without any user: is an item's nearest neighbour in looks a product of the same type?

    uv run python benchmarks/visual_similarity.py DATA --out FOLDER
    uv run python benchmarks/visual_similarity.py DATA --out FOLDER --weights squeezenet1_0=FILE \\
        --extractors color squeezenet1_0 onnx:FILE,layer=embedding,mean=0.5,std=0.5
    … --sample 500    a try on so many items;  --write    puts the figures into benchmarks/README.md

DATA has images/ and an items.csv with the columns product_code and product_type_name. For every item, the item of
another product_code (not the same product in another colour) with the highest cosine is looked up in the whole set;
the figure is the share of items whose neighbour has their product_type_name. Features stay in FOLDER: what is there
already is not extracted again, and then has no speed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Pace, Table, described, machine, publish

import visrec
from visrec.data.dataset import load_catalog
from visrec.data.ids import IdMap
from visrec.evaluation.significance import Estimate
from visrec.features.extractors import folder_name, split_name

PRODUCT, TYPE = "product_code", "product_type_name"
EXTRACTORS = ["color", "lbp", "hog", "sift", "squeezenet1_0"]
BLOCK = 512  # items whose cosines to all others are held at once
RESAMPLES = 1000


@dataclass(frozen=True)
class Result:
    """What was found for one extractor.

    Attributes:
        extractor: its name, an ONNX file without its folder.
        dim: length of a vector.
        items: with a vector.
        standardized: share of neighbours of the same type, columns of mean 0 and variance 1.
        raw: the same of the vectors as the extractor gave them.
        extracted: images in this run.
        images_per_second: in this run, see `Pace.steady`.
    """

    extractor: str
    dim: int
    items: int
    standardized: Estimate
    raw: Estimate
    extracted: int
    images_per_second: float | None


def nearest(vectors: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Of each vector `(n, F)` the row of highest cosine among those of another product `(n,)`."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    found = np.empty(len(unit), dtype=np.int64)
    for start in range(0, len(unit), BLOCK):
        block = slice(start, start + BLOCK)
        cosine = unit[block] @ unit.T  # (block, n)
        cosine[product[block, None] == product] = -np.inf
        found[block] = cosine.argmax(axis=1)
    return found


def share(hits: np.ndarray, product: np.ndarray) -> Estimate:
    """Mean of `hits (n,)`, with a 95 % bootstrap interval over products `(n,)`, since items of one are alike."""
    _, cluster = np.unique(product, return_inverse=True)
    count = np.bincount(cluster).astype(np.float64)
    right = np.bincount(cluster, weights=hits)
    n = len(count)
    drawn = np.random.default_rng(0).multinomial(
        n, np.full(n, 1 / n), size=RESAMPLES
    )  # (resamples, products)
    low, high = np.quantile((drawn @ right) / (drawn @ count), [0.025, 0.975])
    return Estimate(float(hits.mean()), float(low), float(high))


def measure(
    catalog: visrec.Catalog, name: str, options: dict[str, Any], weights: dict[str, str], out: Path
) -> Result:
    """Extract with one extractor, and look at the neighbours."""
    pace = Pace()
    features = visrec.extract(
        catalog,
        name,
        weights={part: file for part, file in weights.items() if part in split_name(name)},
        out=out / folder_name(name),
        progress=pace,
        **options,
    )
    there = np.flatnonzero(~features.missing)
    product, kind = (catalog.metadata[column].to_numpy()[there] for column in (PRODUCT, TYPE))
    shares = []
    for values in (features.values, features.raw):
        assert values is not None
        neighbour = nearest(np.asarray(values[there], dtype=np.float32), product)
        shares.append(share(kind == kind[neighbour], product))
    shown = folder_name(name)
    return Result(shown, features.dim, len(there), shares[0], shares[1], pace.done, pace.steady())


def floors(catalog: visrec.Catalog) -> dict[str, float]:
    """What says nothing of looks would reach: always the most frequent type, or any item of another product."""
    product, kind = (
        np.unique(catalog.metadata[column].to_numpy(), return_inverse=True)[1] for column in (PRODUCT, TYPE)
    )
    n, of_kind, of_product = len(kind), np.bincount(kind), np.bincount(product)
    pair = product.astype(np.int64) * len(of_kind) + kind
    _, which, of_both = np.unique(pair, return_inverse=True, return_counts=True)
    others = (of_kind[kind] - of_both[which]) / (n - of_product[product])
    return {"majority": float(of_kind.max() / n), "random": float(others.mean())}


def sampled(catalog: visrec.Catalog, n: int) -> visrec.Catalog:
    """`n` items of a catalogue, the same each time."""
    kept = np.sort(np.random.default_rng(0).permutation(len(catalog))[:n])
    return visrec.Catalog(
        IdMap(catalog.items.values.gather(kept), kind="item"),
        tuple(catalog.paths[index] for index in kept),
        catalog.metadata[kept],
    )


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """ "hog" or "onnx:FILE,layer=embedding,mean=0.5" as the name and the options."""
    name, *options = text.split(",")
    given: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        try:
            given[key] = json.loads(value)
        except ValueError:
            given[key] = value
    return name, given


def main() -> None:
    """Parse, measure each, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the features; it resumes there")
    parser.add_argument("--extractors", nargs="+", default=EXTRACTORS, metavar="NAME[,KEY=VALUE…]")
    parser.add_argument(
        "--weights", nargs="+", default=[], metavar="NETWORK=FILE", help="where not the published"
    )
    parser.add_argument("--sample", type=int, help="a try on so many items")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    args = parser.parse_args()
    weights = dict(one.split("=", 1) for one in args.weights)
    catalog = load_catalog(args.data)
    if args.sample:
        catalog = sampled(catalog, args.sample)

    low = floors(catalog)
    results = []
    for text in args.extractors:
        results.append(measure(catalog, *parsed(text), weights, args.out))
        print(f"{results[-1].extractor}: {results[-1].items:,} items", file=sys.stderr, flush=True)
    table = Table(["extractor", "dimension", "same type, standardised", "same type, raw", "images/s"])
    for one in results:
        shares = (f"{s.mean:.4f} [{s.low:.4f}, {s.high:.4f}]" for s in (one.standardized, one.raw))
        speed = f"{one.images_per_second:,.1f}" if one.images_per_second else "-"
        table.rows.append([one.extractor, f"{one.dim:,}", *shares, speed])
    table.show()
    about = machine()
    n_products, n_types = (catalog.metadata[column].n_unique() for column in (PRODUCT, TYPE))
    text = (
        f"{len(catalog):,} items, {n_products:,} products, {n_types} types. Always the most frequent type would be "
        f"right in {low['majority']:.4f}, a random item of another product in {low['random']:.4f}. 95 % intervals "
        f"by bootstrap over products."
    )
    print(f"{text}\n{described(about)}")
    if args.write:
        facts = {"provenance": about, "items": len(catalog), "floors": low}
        publish(
            "visual_similarity",
            f"{text}\n\n{table.markdown}\n\n{described(about)}",
            {**facts, "results": [asdict(one) for one in results]},
        )


if __name__ == "__main__":
    main()
