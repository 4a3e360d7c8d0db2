"""Amazon's reviews up to July 2014, any category: ratings, products, and Caffe's features of their pictures.

The files of McAuley, Targett, Shi & van den Hengel (SIGIR 2015) and He & McAuley (WWW 2016), which VBPR uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.paths import category_of, lies_within
from visrec.data.datasets.record_lines import records
from visrec.data.datasets.vector_files import read_vectors
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.rows import numbers_of, read_rows, whole_numbers_of
from visrec.data.published import Published, PublishedFiles
from visrec.errors import DataError
from visrec.progress import Progress

_REVIEWS = ("reviews_*.json.gz", "reviews_*.json")
_RATINGS = ("ratings_*.csv", "ratings_*.csv.gz")
_PRODUCTS = ("meta_*.json.gz", "meta_*.json")
_FEATURES = "image_features_*.b"
_TEXTS = {"title": "title", "brand": "brand", "imUrl": "image_url"}
_USED = {"asin", "price", "categories", *_TEXTS}
_REVIEW = ("reviewerID", "asin", "unixReviewTime", "overall")
_LIMIT = 1 << 60
_BATCH = 1 << 18  # rows kept as lists of Python


def read_amazon(
    source: Path, *, progress: Progress | None = None, within: str = "", all_items: bool = False
) -> ForeignData:
    """Read one category.

    Args:
        source: a folder with the reviews (or the table of ratings) of one category, and of products and features
            what is there.
        within: only products on a path of categories with this name, or these names in a row, separated by ">":
            "Women", "Clothing, Shoes & Jewelry > Women". Empty: all.
        all_items: keep products that nobody rated.
        progress: called with (bytes read, bytes in all, a note).

    Raises:
        DataError: a file is missing or damaged; the message names the line.
    """
    published = PublishedFiles(source)
    reviews, ratings = published.find(*_REVIEWS), published.find(*_RATINGS)
    rated = reviews or ratings
    if rated is None:
        raise DataError(
            f"{source}: holds no {_REVIEWS[0]} and no {_RATINGS[0]}. Put those of one category there, under their "
            f"published names."
        )
    rows = (_ratings if reviews is None else _reviews)(rated, progress)
    files = [published.row(rated, f"{rows.height:,} ratings", "interactions")]
    if reviews is not None and ratings is not None:
        files.append(published.row(ratings, "ratings", f"nothing: those of {reviews.name} are taken"))
    notes: list[str] = []
    names = [name.strip() for name in within.split(">") if name.strip()]
    products = published.find(*_PRODUCTS)
    items: pl.DataFrame | None = None
    if products is not None:
        items, more = _products(products, names, progress)
        notes += more
        rows, items = _matched(rows, items, names=names, all_items=all_items, notes=notes)
        files.append(published.row(products, "products", f"{items.height:,} items"))
    elif names:
        raise DataError(
            f"{source}: holds no {_PRODUCTS[0]}, which says what lies within {' > '.join(names)}. Put it there."
        )
    if not rows.height:
        raise DataError(f"{rated}: holds no ratings" + (f" within {' > '.join(names)}." if names else "."))
    features: tuple[ForeignFeatures, ...] = ()
    vectors = published.find(_FEATURES)
    if vectors is not None:
        found, said = read_vectors(vectors.on_disk, id_bytes=10)
        features, notes = (found,), [*notes, *said]
        files.append(published.row(vectors, f"{len(found.ids):,} vectors of 4,096", f"features/{found.name}"))
    return ForeignData(
        interactions=rows, items=items, features=features, files=tuple(files), notes=tuple(notes)
    )


def _matched(
    rows: pl.DataFrame, items: pl.DataFrame, *, names: Sequence[str], all_items: bool, notes: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ratings of the products that are wanted, and these products."""
    if names:
        kept = rows.join(items.select("item_id"), on="item_id", how="semi", maintain_order="left")
        notes.append(
            f"{rows.height - kept.height:,} of {rows.height:,} ratings are of products outside "
            f"{' > '.join(names)}: left out."
        )
        rows = kept
    if not all_items:
        rated = items.join(rows.select("item_id"), on="item_id", how="semi", maintain_order="left")
        if rated.height < items.height:
            notes.append(
                f"{items.height - rated.height:,} products were rated by nobody: left out. Keep them by "
                f"--set all_items=true."
            )
        items = rated
    return rows, items


# ---- ratings ---------------------------------------------------------------------------------------


def _reviews(file: Published, progress: Progress | None) -> pl.DataFrame:
    made: list[pl.DataFrame] = []
    rows: list[tuple[str, str, int, float]] = []
    for line, record in records(file, progress=progress):
        user, item, time, rating = row = [record.get(name) for name in _REVIEW]
        if not (
            isinstance(user, str)
            and isinstance(item, str)
            and type(time) is int
            and isinstance(rating, int | float)
            and max(abs(time), abs(rating)) < _LIMIT
        ):
            raise DataError(
                f"{file}: line {line:,} lacks one of {', '.join(_REVIEW)}, or has none of its kind: {_shown(row)}."
            )
        rows.append((user, item, time, float(rating)))
        if len(rows) >= _BATCH:
            made.append(_table(rows))
            rows = []
    return pl.concat([*made, _table(rows)], rechunk=True)


def _table(rows: list[tuple[str, str, int, float]]) -> pl.DataFrame:
    kinds = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "rating": pl.Float64}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _ratings(file: Published, progress: Progress | None) -> pl.DataFrame:
    """The table without a header: user, item, rating, time."""
    names = ("user_id", "item_id", "rating", "timestamp")
    parts = [
        pl.DataFrame(
            {
                "user_id": text["user_id"],
                "item_id": text["item_id"],
                "timestamp": whole_numbers_of(file, first, text, "timestamp"),
                "rating": numbers_of(file, first, text, "rating"),
            }
        )
        for first, text in read_rows(file, names, names=names, progress=progress)
    ]
    return pl.concat(parts)


# ---- products --------------------------------------------------------------------------------------


def _products(
    file: Published, names: Sequence[str], progress: Progress | None
) -> tuple[pl.DataFrame, list[str]]:
    """The products within `names`, each once, and notes."""
    found: dict[str, list[Any]] = {name: [] for name in ("item_id", *_TEXTS.values(), "price", "category")}
    known: set[str] = set()
    again = 0
    others: set[str] = set()
    for line, record in records(file, progress=progress):
        item = record.get("asin")
        paths = record.get("categories") or []
        if not isinstance(item, str) or not item:
            raise DataError(f"{file}: line {line:,} has no 'asin'; expected a product on each line.")
        if not isinstance(paths, list) or not all(
            isinstance(one, list) and all(isinstance(name, str) for name in one) for one in paths
        ):
            raise DataError(f"{file}: line {line:,}: 'categories' of {item!r} is no list of paths.")
        if names and not lies_within(paths, names):
            continue
        if item in known:
            again += 1
            continue
        known.add(item)
        others.update(record)
        found["item_id"].append(item)
        for name, column in _TEXTS.items():
            value = record.get(name)
            found[column].append(value if isinstance(value, str) and value else None)
        price = record.get("price")
        found["price"].append(
            float(price) if isinstance(price, int | float) and abs(price) < _LIMIT else None
        )
        found["category"].append(category_of(paths))
    columns = {
        name: pl.Series(values, dtype=pl.Float64 if name == "price" else pl.String)
        for name, values in found.items()
    }
    table = pl.DataFrame(
        {
            name: column
            for name, column in columns.items()
            if name == "item_id" or column.null_count() < len(column)
        }
    )
    notes = []
    if again:
        notes.append(f"{file.name}: {again:,} products come again: their first line counts.")
    if others - _USED:
        notes.append(f"Of products, {', '.join(sorted(map(str, others - _USED))[:10])} is left out.")
    if not table.height:
        inside = f" within {' > '.join(names)}; names are written as in the file" if names else ""
        raise DataError(f"{file}: holds no products{inside}.")
    return table, notes


def _shown(row: Sequence[Any]) -> str:
    return ", ".join(
        str(value)[:40] if isinstance(value, str | float) else type(value).__name__ for value in row
    )


AMAZON_2014 = NamedDataset(
    name="amazon-2014",
    title="Amazon product data (1996-2014)",
    what="ratings of one category, its products, Caffe's features; parts such as Women or Men by their categories",
    size="142.8 million reviews in 24 categories; clothing: 5.7 million reviews, 1.5 million products",
    licence="its authors ask to be cited; of the reviews and pictures they state none",
    citation=(
        "J. McAuley, C. Targett, J. Shi, A. van den Hengel: Image-based Recommendations on Styles and Substitutes. "
        "SIGIR 2015. R. He, J. McAuley: Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-"
        "Class Collaborative Filtering. WWW 2016"
    ),
    home="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
    files=(
        PublishedFile("reviews_*.json.gz", "a review on each line; the 5-core files are read as well"),
        PublishedFile("ratings_*.csv", "user, item, rating, Unix time; instead of the reviews", needed=False),
        PublishedFile(
            "meta_*.json.gz", "a product on each line, as Python writes a dictionary", needed=False
        ),
        PublishedFile(
            _FEATURES, "an id of 10 letters and 4,096 float32 numbers, for each product", needed=False
        ),
    ),
    read=read_amazon,
)
