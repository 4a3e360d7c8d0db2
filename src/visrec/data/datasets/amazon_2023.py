"""Amazon Reviews 2023 (Hou et al., 2024): ratings of a category, its official parts, addresses of pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.foreign import ForeignData, Progress, file_row
from visrec.data.formats.lines import numbers_of, read_objects, read_rows, whole_numbers_of
from visrec.errors import DataError

COLUMNS = ("user_id", "parent_asin", "rating", "timestamp")
PARTS = ("train", "valid", "test")
_REVIEW: dict[str, pl.DataType | type[pl.DataType]] = {
    "user_id": pl.String,
    "parent_asin": pl.String,
    "rating": pl.Float64,
    "timestamp": pl.Int64,
}
_IMAGE = pl.Struct({"hi_res": pl.String, "large": pl.String, "variant": pl.String})
_META: dict[str, pl.DataType | type[pl.DataType]] = {
    "parent_asin": pl.String,
    "title": pl.String,
    "main_category": pl.String,
    "categories": pl.List(pl.String),
    "store": pl.String,
    "price": pl.String,
    "average_rating": pl.Float64,
    "rating_number": pl.Int64,
    "images": pl.List(_IMAGE),
}
_NAME = re.compile(
    r"(?P<meta>meta_)?(?P<category>[A-Za-z_]+?)(?:\.(?P<part>train|valid|test))?\.(?P<kind>jsonl|csv)(?:\.gz)?"
)
Size = Literal["large", "hi_res"]


def read_amazon_2023(
    source: Path,
    *,
    progress: Progress | None = None,
    category: str | None = None,
    picture: Size = "large",
    all_items: bool = False,
) -> ForeignData:
    """Read one category.

    Of what is there, the official parts (`CATEGORY.train.csv`, …) are taken before the ratings (`CATEGORY.csv`), and
    these before the reviews (`CATEGORY.jsonl`).

    Args:
        source: the folder with the files, or a file of interactions.
        progress: called with (done, in all, a note).
        category: such as Musical_Instruments; None: the one that is there.
        picture: which address: "large" (500 pixels) or "hi_res"; the other one where an item lacks it.
        all_items: also items of the metadata that nobody rated here.

    Raises:
        DataError: no such files, or several categories or kinds of parts; a file is cut short or damaged.
    """
    found = _files(source, category)
    notes: list[str] = []
    if found.parts:
        interactions, notes = _parts(found.parts, progress)
        files = [
            file_row(path.name, f"the official part {part}", f"interactions, evaluation {part}")
            for part, path in found.parts.items()
        ]
    elif found.ratings is not None:
        interactions = _ratings(found.ratings, progress)
        files = [file_row(found.ratings.name, "ratings", "interactions")]
    elif found.reviews is not None:
        interactions = _reviews(found.reviews, progress)
        what = "interactions; texts and pictures of reviews are left out"
        files = [file_row(found.reviews.name, "reviews", what)]
    else:
        raise DataError(
            f"{source}: holds no interactions of {found.category}. Expected {found.category}.train.csv, .valid.csv "
            f"and .test.csv, or {found.category}.csv, or {found.category}.jsonl."
        )
    taken = {row["file"] for row in files}
    files += [
        file_row(path.name, "the same interactions", "left out: those above say more")
        for path in (found.ratings, found.reviews)
        if path is not None and path.name not in taken
    ]
    items = None
    if found.meta is None:
        notes.append(
            f"There is no meta_{found.category}.jsonl: items have no titles and no addresses of pictures."
        )
    else:
        rated = interactions["item_id"].unique()
        items, more = _items(found.meta, None if all_items else rated, picture, progress)
        notes += more
        lacking = rated.len() - rated.is_in(items["item_id"].implode()).sum()
        if lacking:
            notes.append(f"{lacking:,} of {rated.len():,} rated items do not stand in {found.meta.name}.")
        files.append(file_row(found.meta.name, "the items", "items, with image_url"))
    return ForeignData(interactions=interactions, items=items, files=tuple(files), notes=tuple(notes))


# ---- which files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    category: str
    parts: Mapping[str, Path]
    ratings: Path | None
    reviews: Path | None
    meta: Path | None


def _files(source: Path, category: str | None) -> _Files:
    if not source.exists():
        raise DataError(f"{source}: does not exist; expected a folder with the published files.")
    paths = sorted(source.rglob("*")) if source.is_dir() else [source]
    named = [(path, match) for path in paths if path.is_file() and (match := _NAME.fullmatch(path.name))]
    there = sorted({match["category"] for path, match in named if not match["meta"]})
    if category is None and len(there) == 1:
        category = there[0]
    if category not in there:
        listed = (
            f"There are: {', '.join(there)}. Say which one: --set category=NAME."
            if there
            else (
                "Put the files there, under their published names: CATEGORY.train.csv, .valid.csv, .test.csv or "
                "CATEGORY.csv or CATEGORY.jsonl, and meta_CATEGORY.jsonl."
            )
        )
        raise DataError(
            f"{source}: holds {'no' if category or not there else 'several'} such category. {listed}"
        )
    kinds: dict[str, Path] = {}
    for path, match in named:
        if match["category"] == category:
            kind = "meta" if match["meta"] else match["part"] or match["kind"]
            if kind in kinds:
                raise DataError(
                    f"{source}: holds several files {kind} of {category}: {kinds[kind]}, {path}. Name the folder of "
                    f"one kind of parts (such as 5core/last_out), with the metadata in it."
                )
            kinds[kind] = path
    parts = {part: kinds[part] for part in PARTS if part in kinds}
    if parts and len(parts) < len(PARTS):
        lacking = ", ".join(f"{category}.{part}.csv" for part in PARTS if part not in parts)
        raise DataError(
            f"{source}: {lacking} is missing beside {', '.join(path.name for path in parts.values())}."
        )
    return _Files(str(category), parts, kinds.get("csv"), kinds.get("jsonl"), kinds.get("meta"))


# ---- interactions ----------------------------------------------------------------------------------


def _ratings(path: Path, progress: Progress | None, *, part: str | None = None) -> pl.DataFrame:
    found = []
    for first, text in read_rows(path, COLUMNS, progress=progress):
        columns = {
            "user_id": text["user_id"],
            "item_id": text["parent_asin"],
            "timestamp": whole_numbers_of(path, first, text, "timestamp"),
            "rating": numbers_of(path, first, text, "rating"),
        }
        found.append(pl.DataFrame(columns))
    table = pl.concat(found, rechunk=False)
    return table if part is None else table.with_columns(evaluation=pl.lit(part))


def _parts(paths: Mapping[str, Path], progress: Progress | None) -> tuple[pl.DataFrame, list[str]]:
    table = pl.concat([_ratings(path, progress, part=part) for part, path in paths.items()], rechunk=False)
    notes = ["The official parts stand in the column evaluation: visrec run DATA --split by_evaluation."]
    untold = _only_in_histories(paths["test"], table)
    if untold:
        notes.append(
            f"{untold:,} interactions stand only in the column history, without rating and time: left out. The "
            f"files of last_out and timestamp have them."
        )
    return table, notes


def _only_in_histories(path: Path, table: pl.DataFrame) -> int:
    """How many pairs the histories of the test part name that no row has; 0 where there is no such column."""
    untold = 0
    for _, text in read_rows(path, ("user_id",), optional=("history",)):
        if "history" not in text.columns:
            return 0
        pairs = (
            text.select("user_id", item_id=pl.col("history").str.split(" "))
            .explode("item_id")
            .filter(pl.col("item_id") != "")
            .unique()
        )
        untold += pairs.join(table, on=["user_id", "item_id"], how="anti").height
    return untold


def _reviews(path: Path, progress: Progress | None) -> pl.DataFrame:
    found = []
    for first, table in read_objects(path, _REVIEW, progress=progress):
        for name in COLUMNS:
            if table[name].null_count():
                number = first + int(table[name].is_null().arg_max() or 0)
                raise DataError(
                    f"{path}: line {number:,} has no {name}; expected a review with {', '.join(COLUMNS)}."
                )
        found.append(table.select("user_id", pl.col("parent_asin").alias("item_id"), "timestamp", "rating"))
    return pl.concat(found, rechunk=False)


# ---- items -----------------------------------------------------------------------------------------


def _items(
    path: Path, only: pl.Series | None, picture: Size, progress: Progress | None
) -> tuple[pl.DataFrame, list[str]]:
    """One row an item, the first where one stands twice; what is left out."""
    found, in_all = [], 0
    for block in _described(path, picture, progress):
        in_all += block.height
        found.append(block if only is None else block.filter(pl.col("item_id").is_in(only.implode())))
    table = pl.concat(found)
    kept = table.unique("item_id", keep="first", maintain_order=True)
    notes = []
    if kept.height < table.height:
        notes.append(
            f"{path.name}: {table.height - kept.height:,} items stand twice; the first row of each is taken."
        )
    if table.height < in_all:
        notes.append(
            f"{path.name}: {in_all - table.height:,} of {in_all:,} items were rated by nobody here: left out "
            f"(--set all_items=true keeps them)."
        )
    without = kept["image_url"].null_count()
    if without:
        notes.append(f"{without:,} of {kept.height:,} items have no address of a picture.")
    return kept, notes


def _described(path: Path, picture: Size, progress: Progress | None) -> Iterator[pl.DataFrame]:
    for first, table in read_objects(path, _META, progress=progress):
        if table["parent_asin"].null_count():
            number = first + int(table["parent_asin"].is_null().arg_max() or 0)
            raise DataError(f"{path}: line {number:,} has no parent_asin; expected the metadata of an item.")
        yield table.select(
            pl.col("parent_asin").alias("item_id"),
            _text("title"),
            _text("main_category").alias("category"),
            pl.col("categories").list.join("|", ignore_nulls=True).replace("", None),
            _text("store"),
            _text("price").replace("None", None),
            "average_rating",
            "rating_number",
            _address(picture).alias("image_url"),
        )


def _text(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars().replace("", None)


def _address(picture: Size) -> pl.Expr:
    """The address of an item's picture: of its main one, else of its first."""
    other = "large" if picture == "hi_res" else "hi_res"

    def address(images: pl.Expr) -> pl.Expr:
        first = images.list.first()
        return pl.coalesce(first.struct.field(picture), first.struct.field(other))

    main = pl.col("images").list.eval(pl.element().filter(pl.element().struct.field("variant") == "MAIN"))
    return pl.coalesce(address(main), address(pl.col("images")))


_HUB = "https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023/resolve"
_SPLIT = f"{_HUB}/2aa726ef444e72c6a1364c4baa0bcdfb1de55db6/benchmark/5core/last_out"
_MUSIC = "Musical_Instruments"

AMAZON_2023 = NamedDataset(
    name="amazon-2023",
    title="Amazon Reviews 2023",
    what="ratings of products in 33 categories, with addresses of their pictures",
    size="54.51 million users, 48.19 million items, 571.54 million reviews in all; its category Musical_Instruments "
    "(5-core): some 57,400 users, 512,000 ratings, 0.7 GB with the metadata",
    licence="its authors name none; they offer it for research",
    citation="Y. Hou, J. Li, Z. He, A. Yan, X. Chen, J. McAuley: Bridging Language and Items for Retrieval and "
    "Recommendation. arXiv:2403.03952, 2024",
    home="https://amazon-reviews-2023.github.io/ (and https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023)",
    files=(
        PublishedFile(
            "CATEGORY.{train,valid,test}.csv[.gz]",
            "the official parts (0core, 5core; last_out, timestamp)",
            False,
        ),
        PublishedFile("CATEGORY.csv[.gz]", "ratings without parts (rating_only)", False),
        PublishedFile("CATEGORY.jsonl[.gz]", "reviews (raw/review_categories)", False),
        PublishedFile("meta_CATEGORY.jsonl[.gz]", "the items (raw/meta_categories)", False),
        PublishedFile(
            name=f"{_MUSIC}.train.csv",
            what="an example category, 5-core, last_out",
            needed=False,
            address=f"{_SPLIT}/{_MUSIC}.train.csv",
            size=23_024_713,
            digest="sha256:57011953cb95406af0656fc273b948e03f72301ff987d75774bcf813b7ebc76c",
        ),
        PublishedFile(
            name=f"{_MUSIC}.valid.csv",
            what="the same",
            needed=False,
            address=f"{_SPLIT}/{_MUSIC}.valid.csv",
            size=3_331_575,
            digest="sha256:0bc030c196db45d02c2f08b3b8561de6d2b7af10720f5a648a29b80c2ba8041e",
        ),
        PublishedFile(
            name=f"{_MUSIC}.test.csv",
            what="the same",
            needed=False,
            address=f"{_SPLIT}/{_MUSIC}.test.csv",
            size=3_331_575,
            digest="sha256:f6a47056a50746e30c48ecb4f12dc8569f5857dd3edffb6bf3ea4c8e8395ef3e",
        ),
        PublishedFile(
            name=f"meta_{_MUSIC}.jsonl",
            what="its items",
            needed=False,
            address=f"{_HUB}/c9b9fe596c697ec468716f92345ff47ffe947278/raw/meta_categories/{_MUSIC}.jsonl",
            size=631_877_970,
            digest="sha256:96f40b5440918f07e3e08e84b7a6874a06a5e32a9988998ca9520cfd1b51a12c",
        ),
    ),
    read=read_amazon_2023,
)
