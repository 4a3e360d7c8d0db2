"""Pinterest: who pinned which picture, as Geng et al. collected it (2015), and as NCF published it (2017)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.number_tables import read_numbers
from visrec.data.foreign import ForeignData, places_as_times
from visrec.data.formats.bson import read_documents
from visrec.data.published import Published, PublishedFiles
from visrec.errors import DataError
from visrec.progress import Progress

Release = Literal["iccv", "ncf"]

_BOARDS, _PINS = "subset_iccv_board_pins.bson", "subset_iccv_pin_im.bson"


def read_pinterest(
    source: Path, *, progress: Progress | None = None, release: Release | None = None
) -> ForeignData:
    """Read the dump of Geng et al., or the tables of NCF.

    Args:
        source: a folder with the files (or `pinterest_iccv.zip`), or one of them.
        progress: called with (bytes done, bytes in all, a file's name).
        release: "iccv" or "ncf", where the folder has both.

    Raises:
        DataError: a file is missing, damaged, or not as it was published.
    """
    files = PublishedFiles(source)
    there = {
        "iccv": bool(files.matching(_BOARDS, f"{_BOARDS}.gz")),
        "ncf": bool(files.matching("*.train.rating", "*.rating")),
    }
    if release is None and all(there.values()):
        raise DataError(f"{source}: holds both releases. Say which: --set release=iccv or --set release=ncf.")
    if release is None and not any(there.values()):
        raise DataError(
            f"{source}: holds neither {_BOARDS} (or pinterest_iccv.zip) nor pinterest-20.train.rating. Put the "
            f"files of one release there."
        )
    chosen = release or ("iccv" if there["iccv"] else "ncf")
    return (_iccv if chosen == "iccv" else _ncf)(files, progress)


# ---- Geng et al., ICCV 2015 ----------------------------------------------------------------------------


def _iccv(files: PublishedFiles, progress: Progress | None) -> ForeignData:
    boards_file = files.get(_BOARDS, f"{_BOARDS}.gz", what="the pins of each board")
    pins_file = files.get(_PINS, f"{_PINS}.gz", what="the picture of each pin")
    pins = _pins(pins_file, progress)
    users, numbers = [], []
    for board in _documents(boards_file, {"board_id": str, "pins": list}, progress):
        # Newest first, as boards show them: the ids of pins, which grow with time, fall along the list.
        newest_last = [str(pin) for pin in reversed(board["pins"])]
        users += [str(board["board_id"])] * len(newest_last)
        numbers += newest_last
    pinned = pl.DataFrame(
        {"user_id": users, "pin_id": numbers}, schema=dict.fromkeys(["user_id", "pin_id"], pl.String)
    )
    rows = pinned.join(pins.select("pin_id", "item_id"), on="pin_id", how="left", maintain_order="left")
    known = rows.drop_nulls("item_id").select("user_id", "item_id")
    items = pins.unique("item_id", keep="first", maintain_order=True).select("item_id", "image_url")
    if not known.height:
        raise DataError(f"{boards_file}: none of its {rows.height:,} pins is in {pins_file.name}.")
    notes = [
        "A user is a board, an item a picture, which several pins may show.",
        "The dump has no times: timestamp is the place on the board, counted from the end of its list, since the "
        "newest pin stands first.",
    ]
    lost = rows.height - known.height
    if lost:
        notes.append(f"{lost:,} of {rows.height:,} pins have no picture in {pins_file.name}: left out.")
    shown = [
        files.row(
            boards_file, f"{rows.height:,} pins on {pinned['user_id'].n_unique():,} boards", "interactions"
        ),
        files.row(pins_file, f"{pins.height:,} pins of {items.height:,} pictures", "items, with image_url"),
    ]
    category = files.find("subset_iccv_board_cate.bson", "subset_iccv_board_cate.bson.gz")
    if category is not None:
        shown.append(files.row(category, "a category for each board", "nothing: boards are the users here"))
    return ForeignData(places_as_times(known), items, files=tuple(shown), notes=tuple(notes))


def _pins(file: Published, progress: Progress | None) -> pl.DataFrame:
    """pin_id, item_id (the picture's name, without suffix), image_url."""
    pin_ids, names, addresses = [], [], []
    for pin in _documents(file, {"pin_id": str, "im_name": str, "im_url": str}, progress):
        pin_ids.append(str(pin["pin_id"]))
        names.append(str(pin["im_name"]))
        addresses.append(pin["im_url"])
    if not names:
        raise DataError(f"{file}: holds no pins.")
    columns = {"pin_id": pin_ids, "item_id": names, "image_url": addresses}
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    without = pl.col("item_id").str.replace(r"\.(?i:jpe?g|png|gif|webp)$", "")
    return table.with_columns(without).unique("pin_id", keep="first", maintain_order=True)


def _documents(
    file: Published, fields: dict[str, type], progress: Progress | None
) -> Iterator[dict[str, Any]]:
    """The documents of a dump, which must have these fields."""

    def told(done: int) -> None:
        if progress is not None:
            progress(done, max(file.size, done), file.name)

    with file.open() as opened:
        for number, found in enumerate(read_documents(opened, name=str(file), progress=told), start=1):
            for name, kind in fields.items():
                value = found.get(name)
                if not isinstance(value, (str, int) if kind is str and name != "im_url" else kind):
                    what = f"is {type(value).__name__}" if name in found else "is missing"
                    raise DataError(
                        f"{file}: document {number:,}: the field {name} {what}; expected {kind.__name__}. Its "
                        f"fields: {', '.join(found) or 'none'}."
                    )
            yield found


# ---- NCF, WWW 2017 -------------------------------------------------------------------------------------


def _ncf(files: PublishedFiles, progress: Progress | None) -> ForeignData:
    train_file = files.find("*.train.rating")
    if train_file is None:
        alone = files.get("*.rating", what="user, item, rating, time, separated by tabs")
        rows, notes = _ratings(alone, progress), ["Nothing says which rows are the test."]
        shown = [files.row(alone, f"{rows.height:,} interactions", "interactions")]
    else:
        name = train_file.name.removesuffix(".train.rating")
        test_file = files.get(f"{name}.test.rating", what="the held-out interactions", beside=train_file)
        train, test = _ratings(train_file, progress), _ratings(test_file, progress)
        rows = pl.concat(
            [train.with_columns(evaluation=pl.lit("train")), test.with_columns(evaluation=pl.lit("test"))]
        )
        notes = ["The test is that of the release: one item a user."] if _one_each(test) else []
        shown = [
            files.row(train_file, f"{train.height:,} interactions", "interactions, evaluation train"),
            files.row(test_file, f"{test.height:,} interactions", "interactions, evaluation test"),
        ]
        negatives = files.find(f"{name}.test.negative", beside=train_file)
        if negatives is not None:
            what = "items drawn as negatives for each test row"
            became = "nothing: all unseen items are ranked; the protocol `sampled` draws its own"
            shown.append(files.row(negatives, what, became))
    if rows["timestamp"].n_unique() <= 1:
        rows = places_as_times(rows)
        notes.append("The release has no times: timestamp is the place of a row among those of its user.")
    notes.append(
        "Users and items are numbered anew in this release, and nothing says which picture a number is: there are "
        "no pictures. Take the release of 2015 for those."
    )
    if rows["rating"].n_unique() <= 1:
        rows = rows.drop("rating")
    order = ["user_id", "item_id", "timestamp", "rating", "evaluation"]
    kept = rows.select([column for column in order if column in rows.columns])
    return ForeignData(kept, files=tuple(shown), notes=tuple(notes))


def _one_each(test: pl.DataFrame) -> bool:
    return not test["user_id"].is_duplicated().any()


def _ratings(file: Published, progress: Progress | None) -> pl.DataFrame:
    """user_id, item_id, rating, timestamp (0 where the file has none)."""
    rows = read_numbers(file, separator="\t", progress=progress)
    if "timestamp" in rows.columns:
        return rows
    return rows.with_columns(pl.lit(0, dtype=pl.Int64).alias("timestamp"))


PINTEREST = NamedDataset(
    name="pinterest",
    title="Pinterest (Geng et al. 2015; NCF 2017)",
    what="which pictures were pinned to which boards",
    size="46,000 boards, 882,702 pictures, 2,565,241 pins (2015); 55,187 users, 9,916 items, 1,500,809 "
    "interactions (NCF)",
    licence="nothing is said; the pictures belong to who made them",
    citation="Xue Geng, Hanwang Zhang, Jingwen Bian, Tat-Seng Chua: Learning Image and User Features for "
    "Recommendation in Social Networks. ICCV 2015. With NCF's files: Xiangnan He et al.: Neural Collaborative "
    "Filtering. WWW 2017",
    home="https://sites.google.com/site/xueatalphabeta/academic-projects (2015); "
    "https://github.com/hexiangnan/neural_collaborative_filtering, folder Data (NCF)",
    files=(
        PublishedFile("pinterest_iccv.zip", "2015: the three dumps below, from a file host", needed=False),
        PublishedFile(_BOARDS, "2015: the pins of each board (or .bson.gz)", needed=False),
        PublishedFile(_PINS, "2015: the picture of each pin, its address (or .bson.gz)", needed=False),
        PublishedFile("subset_iccv_board_cate.bson", "2015: categories of boards; not read", needed=False),
        PublishedFile("pinterest-20.train.rating", "NCF: what users are learnt from", needed=False),
        PublishedFile("pinterest-20.test.rating", "NCF: one held-out item a user", needed=False),
        PublishedFile("pinterest-20.test.negative", "NCF: 99 negatives a user; not read", needed=False),
    ),
    read=read_pinterest,
)
