"""Laws of reading a data set: the order of rows never matters, and every file is a data set or a `DataError`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visrec.data.dataset import Dataset, load_dataset
from visrec.errors import DataError

ITEMS = ("i1", "i2", "012", "12")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four pictures, in which the tests write one table after the other."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "images").mkdir()
    for item in ITEMS:
        (folder / "images" / f"{item}.jpg").write_bytes(b"not decoded here")
    return folder


@pytest.fixture(autouse=True)
def _only_pictures_between_tests(shop: Path) -> Iterator[None]:
    yield
    for path in [*shop.glob("*.csv"), *shop.glob("*.parquet")]:
        path.unlink()


reading = settings(max_examples=60, deadline=None)  # each example reads files
fuzzing = settings(max_examples=300, deadline=None)

rows = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "01", "1"]),
        st.sampled_from(ITEMS),
        st.sampled_from(["1", "2", "2.0", "-0.0", "0", "3"]),  # few, so that most are equal to another
        st.sampled_from(["1", "0.5", "2"]),
        st.sampled_from(["1", "4", "5", "-0", "0"]),
        st.sampled_from(["train", "valid", "test"]),
    ),
    min_size=1,
    max_size=30,
)


def write(path: Path, header: str, lines: list[tuple[str, ...]]) -> None:
    path.write_text("\n".join([header, *(",".join(line) for line in lines)]) + "\n")


@reading
@given(rows=rows, seed=st.integers(0, 1000), min_rating=st.sampled_from([None, 0, 4]))
@example(
    rows=[("u1", "i1", "1", "1", "-0", "train"), ("u1", "i1", "1", "1", "0", "train")], seed=0, min_rating=4
)
def test_order_of_rows_does_not_matter(
    shop: Path, rows: list[tuple[str, ...]], seed: int, min_rating: float | None
):
    """Also where timestamps are equal and weights, ratings or parts differ; what survives is the same."""
    header = "user_id,item_id,timestamp,weight,rating,evaluation"
    loaded = []
    for order in (rows, random.Random(seed).sample(rows, len(rows)), rows[::-1]):
        write(shop / "interactions.csv", header, order)
        try:
            data = load_dataset(shop, min_rating=min_rating)
            loaded.append((data.interactions.digest, data.catalog.digest, data.notes))
        except DataError as error:
            loaded.append((str(error),))  # no rating is high enough

    assert loaded[0] == loaded[1] == loaded[2]


@reading
@given(rows=rows)
def test_newest_row_of_each_pair_is_kept(shop: Path, rows: list[tuple[str, ...]]):
    write(shop / "interactions.csv", "user_id,item_id,timestamp,weight,rating,evaluation", rows)
    found = load_dataset(shop).interactions

    newest: dict[tuple[str, str], float] = {}
    for user, item, moment, *_ in rows:
        newest[user, item] = max(float(moment), newest.get((user, item), float("-inf")))
    users, items = found.users.take(found.user).to_list(), found.items.take(found.item).to_list()
    assert dict(zip(zip(users, items, strict=True), found.timestamp.tolist(), strict=True)) == newest
    assert len(found) == len(newest)


cells = st.sampled_from(
    ["", "a", "1", "1.5", "007", "-1", " x", "2020-01-01", "NaN", "true", "99999999999999999999"]
)


@reading
@given(
    columns=st.lists(st.tuples(cells, cells, cells, cells), min_size=1, max_size=3),
    order=st.permutations(range(4)),
    suffix=st.sampled_from(["csv", "parquet"]),
)
def test_order_of_the_items_file_does_not_matter(
    shop: Path, columns: list[tuple[str, ...]], order: list[int], suffix: str
):
    write(shop / "interactions.csv", "user_id,item_id,timestamp", [("u", "12", "1")])
    table = pl.DataFrame({"item_id": ITEMS, **{f"c{n}": column for n, column in enumerate(columns)}})
    loaded = []
    for rows in (table, table[order]):
        if suffix == "csv":
            rows.write_csv(shop / "items.csv")
        else:
            rows.write_parquet(shop / "items.parquet")
        loaded.append(load_dataset(shop).catalog)
        (shop / f"items.{suffix}").unlink()

    assert loaded[0].metadata.equals(loaded[1].metadata)
    assert loaded[0].metadata["item_id"].to_list() == loaded[0].items.values.to_list()
    assert loaded[0].paths == loaded[1].paths
    by_item = {row[0]: row[1:] for row in loaded[0].metadata.rows()}
    for n, item in enumerate(ITEMS):
        assert by_item[item] == tuple(column[n] for column in columns)


def demand_a_dataset_or_a_data_error(shop: Path, name: str, content: bytes, **settings: object) -> None:
    (shop / name).write_bytes(content)
    try:
        data = load_dataset(shop, **settings)
    except DataError as error:
        message = str(error)
        assert "\n" not in message
        assert str(shop) in message
    else:
        assert isinstance(data, Dataset)
        assert len(data.interactions) > 0
        _ = data.interactions.digest
    finally:
        (shop / name).unlink()


SEED_TEXT = (
    "user_id,item_id,timestamp,weight,rating,evaluation\n"
    "u1,i1,2020-01-01,1.5,4,true\n"
    '"u,2",i2,2020-01-02T10:30:00,2,3,0\n'
    "01,012,1577836800,1e-3,5,valid\n"
)
PIECES = [
    *(
        "\n",
        "\r",
        "\r\n",
        ",",
        ",,",
        '"',
        '""',
        "\0",
        " ",
        "\ufeff",
        "é",
        "nan",
        "inf",
        "-",
        "1e309",
        "9" * 40,
    ),
    *("2020-02-30", "262143-12-31", "0000-00-00", "24:60:61", "+99:99", "Z", "-0.0", ";", "user_id"),
    *("_duplicated_0", "u1,i1,1,1,1,1\n"),
]


@st.composite
def mutated_text(draw: st.DrawFn) -> bytes:
    """A good CSV file with some of it cut, moved, repeated or replaced."""
    text = SEED_TEXT
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 12)))
        piece = draw(st.sampled_from([*PIECES, "", text[:stop], text[start:stop] * 3]) | st.text(max_size=4))
        text = text[:start] + piece + text[stop:]
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig"]))
    return text.encode(encoding, errors="replace")


@fuzzing
@given(content=st.binary(max_size=200))
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b"\xef\xbb\xbf\n")
@example(b'"')
@example(b"PAR1")
@example(b"user_id,item_id,timestamp\r")
def test_any_bytes_are_a_data_set_or_a_data_error(shop: Path, content: bytes):
    demand_a_dataset_or_a_data_error(shop, "interactions.csv", content)


@fuzzing
@given(content=st.binary(max_size=60))
def test_any_bytes_below_a_good_header_are_a_data_set_or_a_data_error(shop: Path, content: bytes):
    demand_a_dataset_or_a_data_error(
        shop, "interactions.csv", b"user_id,item_id,timestamp\n" + content, missing_images="mask"
    )


@fuzzing
@given(content=mutated_text(), min_rating=st.sampled_from([None, 4]))
def test_mutated_csv_is_a_data_set_or_a_data_error(shop: Path, content: bytes, min_rating: float | None):
    demand_a_dataset_or_a_data_error(
        shop, "interactions.csv", content, min_rating=min_rating, missing_images="mask"
    )


@settings(fuzzing, max_examples=100)
@given(
    name=st.sampled_from(["items.csv", "images.csv"]),
    content=st.binary(max_size=60)
    | st.text(max_size=20).map(lambda text: f"item_id,path\ni1,{text}\ni2,".encode(errors="replace")),
    missing_images=st.sampled_from(["error", "mask"]),
)
def test_any_catalogue_file_is_a_data_set_or_a_data_error(
    shop: Path, name: str, content: bytes, missing_images: str
):
    write(shop / "interactions.csv", "user_id,item_id,timestamp", [("u", "i1", "1")])
    demand_a_dataset_or_a_data_error(shop, name, content, missing_images=missing_images)


@settings(fuzzing, max_examples=100)
@given(content=st.binary(max_size=200))
def test_any_bytes_named_parquet_are_a_data_error(shop: Path, content: bytes):
    demand_a_dataset_or_a_data_error(shop, "interactions.parquet", content)


VALUES: list[pl.Series] = [
    pl.Series(["a", "b"]),
    pl.Series(["1", None]),
    pl.Series([1, 2], dtype=pl.UInt8),
    pl.Series([2**64 - 1, 2**63], dtype=pl.UInt64),
    pl.Series([-1, None], dtype=pl.Int64),
    pl.Series([1.5, float("nan")]),
    pl.Series([float("inf"), -0.0], dtype=pl.Float32),
    pl.Series([Decimal("1.5"), Decimal(2)]),
    pl.Series([True, None]),
    pl.Series([None, None]),
    pl.Series([b"\xff", b"1"]),
    pl.Series([[1], [2]]),
    pl.Series([{"a": 1}, {"a": 2}]),
    pl.Series(["a", "b"], dtype=pl.Categorical),
    pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
    pl.Series([date.min, date.max]),
    pl.Series([time(1), time(2)]),
    pl.Series([timedelta(1), timedelta(2)]),
    pl.Series([2**63 - 1, -(2**63)]).cast(pl.Datetime("ms")),
    pl.Series([2**63 - 1, 0]).cast(pl.Datetime("ns")),
    pl.Series([datetime(2020, 1, 1, tzinfo=UTC), None]),
]


@pytest.mark.parametrize("name", ["user_id", "item_id", "timestamp", "weight", "rating", "evaluation"])
def test_any_type_of_a_parquet_column_is_a_data_set_or_a_data_error(shop: Path, name: str):
    good = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["i1", "i2"], "timestamp": [1, 2]})
    for values in VALUES:
        buffer = BytesIO()
        good.with_columns(values.alias(name)).write_parquet(buffer)
        demand_a_dataset_or_a_data_error(
            shop, "interactions.parquet", buffer.getvalue(), missing_images="mask"
        )
