"""The tables of MovieLens, in the three ways in which GroupLens has written them.

1998 (`u.data`, `u.item`): tabs, and bars with a column for each genre. 2003 and 2009 (`.dat`): `::` between fields,
no header. Since then (`.csv`): commas, with a header. The old ones are Latin-1, but for the films of 2009, in UTF-8.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import polars as pl

from visrec.data.datasets.number_tables import read_numbers
from visrec.data.published import Published, text_of
from visrec.errors import DataError
from visrec.progress import Progress

_GENRES_1998 = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_RATINGS: dict[str, tuple[str, str | None]] = {
    "u.data": ("\t", None),
    "ratings.dat": ("::", None),
    "ratings.csv": (",", "userId,movieId,rating,timestamp"),
}
_YEAR = r"\s*\(([12][0-9]{3})\)\s*$"
_NO_GENRES = ("(no genres listed)", "unknown", "")


def read_ratings(file: Published, *, progress: Progress | None = None) -> pl.DataFrame:
    """user_id, item_id (text), timestamp (Unix seconds), rating, as they stand.

    Raises:
        DataError: a line is not of four numbers.
    """
    separator, header = _RATINGS[file.name]
    rows = read_numbers(file, separator=separator, header=header, progress=progress)
    if "timestamp" not in rows.columns:
        raise DataError(
            f"{file}: has no times; expected user, film, rating, Unix seconds. Get the file again."
        )
    return rows.select("user_id", "item_id", "timestamp", "rating")


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
