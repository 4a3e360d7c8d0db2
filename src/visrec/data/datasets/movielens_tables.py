"""The tables of MovieLens, in the three ways in which GroupLens has written them.

1998 (`u.data`, `u.item`): tabs, and bars with a column for each genre. 2003 and 2009 (`.dat`): `::` between fields,
no header. Since then (`.csv`): commas, with a header. The old ones are Latin-1, but for the films of 2009, in UTF-8.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import polars as pl

from visrec.data.datasets.published import Published, table_in_blocks, text_of
from visrec.data.foreign import Progress
from visrec.errors import DataError

_GENRES_1998 = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_RATING = ("user_id", "item_id", "rating", "timestamp")
_YEAR = r"\s*\(([12][0-9]{3})\)\s*$"
_NO_GENRES = ("(no genres listed)", "unknown", "")


def read_ratings(file: Published, *, progress: Progress | None = None) -> pl.DataFrame:
    """user_id, item_id (text), rating, timestamp (Unix seconds), as they stand.

    Raises:
        DataError: a row is not of four numbers.
    """
    first = _first_line(file)
    if file.name == "ratings.csv" and first != "userId,movieId,rating,timestamp":
        raise DataError(f"{file}: begins with {first!r:.80}; expected userId,movieId,rating,timestamp.")
    begin = 0 if file.name != "ratings.csv" else 1
    # "::" is a ":", an empty field, a ":"
    separator, places = {"u.data": ("\t", range(4)), "ratings.dat": (":", range(0, 8, 2))}.get(
        file.name, (",", range(4))
    )
    done = 0

    def parse(lines: bytes) -> pl.DataFrame:
        nonlocal done
        skip, start = (begin if done == 0 else 0), done
        n_columns = places[-1] + 1
        try:
            table = pl.read_csv(
                lines,
                has_header=False,
                separator=separator,
                skip_rows=skip,
                quote_char=None,
                schema={f"{n}": pl.String for n in range(n_columns)},
            )
        except pl.exceptions.NoDataError:
            return pl.DataFrame(schema=_RATING_SCHEMA)
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{file}: cannot be read ({str(error).splitlines()[0][:160]}). Expected four fields a row: user, "
                f"film, rating, time."
            ) from None
        done += table.height + skip
        return _numbers(file, table.select([f"{n}" for n in places]).rename(_names(places)), start + skip)

    found = table_in_blocks(file, parse, progress=progress)
    if not found.height:
        raise DataError(f"{file}: holds no ratings.")
    return found.select("user_id", "item_id", "timestamp", "rating")


_RATING_SCHEMA = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Int64}


def _names(places: range) -> dict[str, str]:
    return {f"{place}": name for place, name in zip(places, _RATING, strict=True)}


def _numbers(file: Published, table: pl.DataFrame, before: int) -> pl.DataFrame:
    """Rows checked; `before` lines of the file came before them."""
    strip = pl.col(pl.String).str.strip_chars("\r ")
    made = table.with_columns(strip).with_columns(
        pl.col("rating").cast(pl.Float64, strict=False), pl.col("timestamp").cast(pl.Int64, strict=False)
    )
    known = pl.col("user_id").str.contains("^[0-9]+$") & pl.col("item_id").str.contains("^[0-9]+$")
    good = made.select(
        (known & pl.col("rating").is_finite() & pl.col("timestamp").is_not_null()).fill_null(value=False)
    )
    bad = ~good.to_series()
    if bad.any():
        row = bad.arg_max() or 0
        shown = ", ".join(str(value) for value in table.row(row))
        raise DataError(
            f"{file}: line {before + row + 1:,} is {shown[:80]!r}; expected user, film, rating, Unix seconds. Get "
            f"the file again."
        )
    return made


def read_films(file: Published, *, genres: Published | None = None) -> pl.DataFrame:
    """item_id, title (without the year), year, genres joined by "|", and what else there is.

    Args:
        file: u.item, movies.dat or movies.csv.
        genres: u.genre, which names the genres of u.item.

    Raises:
        DataError: a row is not as GroupLens writes it, or a film stands twice.
    """
    if file.name == "u.item":
        films = _films_1998(file, _genre_names(genres))
    else:
        films = _films_dat(file) if file.name == "movies.dat" else _films_csv(file)
    if films["item_id"].is_duplicated().any():
        twice = films.filter(pl.col("item_id").is_duplicated())["item_id"][0]
        raise DataError(f"{file}: film {twice} stands twice; expected one row a film.")
    genre = pl.col("genres").str.strip_chars()
    return films.with_columns(
        title=pl.col("title").str.replace(_YEAR, "").str.strip_chars(),
        year=pl.col("title").str.extract(_YEAR).cast(pl.Int64),
        genres=pl.when(genre.is_in(_NO_GENRES)).then(None).otherwise(genre),
    ).select("item_id", "title", "year", "genres", pl.exclude("item_id", "title", "year", "genres"))


def _films_1998(file: Published, genres: tuple[str, ...]) -> pl.DataFrame:
    rows = []
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        cells = line.split("|")
        if len(cells) != 5 + len(genres) or not cells[0].isdecimal():
            raise DataError(
                f"{file}: line {number:,} has {len(cells)} fields; expected {5 + len(genres)}: id, title, release, "
                f"video release, address, and a 0 or 1 for each of {len(genres)} genres."
            )
        named = [genre for genre, mark in zip(genres, cells[5:], strict=True) if mark == "1"]
        rows.append((cells[0], cells[1], "|".join(named), cells[2] or None, cells[4] or None))
    return _films(file, rows, ["item_id", "title", "genres", "release_date", "imdb_url"])


def _genre_names(file: Published | None) -> tuple[str, ...]:
    if file is None:
        return _GENRES_1998
    pairs = [line.rpartition("|") for line in _lines(file) if line.strip()]
    if [number for _, _, number in pairs] != [str(n) for n in range(len(pairs))]:
        raise DataError(f"{file}: expected lines genre|0, genre|1, … in order.")
    return tuple(name for name, _, _ in pairs)


def _films_dat(file: Published) -> pl.DataFrame:
    rows = []
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        item, _, rest = line.partition("::")
        title, found, genres = rest.rpartition("::")  # a title may hold colons
        if not found or not item.isdecimal():
            raise DataError(f"{file}: line {number:,} is {line[:80]!r}; expected id::title::genres.")
        rows.append((item, title, genres))
    return _films(file, rows, ["item_id", "title", "genres"])


def _films_csv(file: Published) -> pl.DataFrame:
    return _films(file, _csv_rows(file, ["movieId", "title", "genres"]), ["item_id", "title", "genres"])


def _films(file: Published, rows: Sequence[tuple[str | None, ...]], columns: list[str]) -> pl.DataFrame:
    if not rows:
        raise DataError(f"{file}: holds no films.")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def read_links(file: Published) -> pl.DataFrame:
    """item_id, imdb_id (such as tt0114709), tmdb_id; null where a film has none."""
    rows = [
        (item, f"tt{imdb.removeprefix('tt').zfill(7)}" if imdb else None, tmdb.removesuffix(".0") or None)
        for item, imdb, tmdb in _csv_rows(file, ["movieId", "imdbId", "tmdbId"])
    ]
    columns = dict.fromkeys(["item_id", "imdb_id", "tmdb_id"], pl.String)
    return pl.DataFrame(rows, schema=columns, orient="row").unique(
        "item_id", keep="first", maintain_order=True
    )


def _csv_rows(file: Published, columns: list[str]) -> list[tuple[str, ...]]:
    reader = csv.reader(io.StringIO(text_of(file), newline=""))
    try:
        header = next(reader, [])
        if header != columns:
            raise DataError(
                f"{file}: begins with {','.join(header)[:80]!r}; expected the columns {','.join(columns)}."
            )
        rows = [tuple(row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{file}: line {reader.line_num:,}: {error}.") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise DataError(
                f"{file}: row {number:,} below the header has {len(row)} fields; expected {len(columns)}."
            )
    return rows


def _lines(file: Published) -> list[str]:
    """Without their ends; in Latin-1, Python would split at letters too."""
    return [line.removesuffix("\r") for line in text_of(file).split("\n")]


def _first_line(file: Published) -> str:
    with file.open() as opened:
        return opened.readline(200).decode("utf-8-sig", "replace").strip()
