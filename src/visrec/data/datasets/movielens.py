"""MovieLens (GroupLens), and a folder of posters: ratings of films, which are looked at by their posters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from visrec.data.datasets.movielens_tables import read_films, read_links, read_ratings
from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.foreign import ForeignData, file_row
from visrec.data.published import Published, PublishedFiles, contents
from visrec.errors import DataError
from visrec.progress import Progress

Edition = Literal["ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "ml-latest", "ml-latest-small"]
PosterIds = Literal["movieId", "imdbId", "tmdbId"]

_FOLDERS = {"ml-10m": ("ml-10m", "ml-10M100K")}
"""What an edition's zip and the folder in it are called, where that is not its name."""


def read_movielens(
    source: Path,
    *,
    progress: Progress | None = None,
    edition: Edition | None = None,
    posters_by: PosterIds | None = None,
) -> ForeignData:
    """Read an edition of MovieLens, and posters.

    Args:
        source: a folder with the zip of an edition, or what is in it; and with posters, however deep, or in a zip.
        progress: called with (bytes done, bytes in all, a file's name).
        edition: which, where the folder has several.
        posters_by: which id the names of the posters are (`1.jpg`, `tt0114709.jpg`, `862.jpg`); None: found out.

    Raises:
        DataError: a file is missing, damaged, or not as GroupLens writes it.
    """
    files = PublishedFiles(source)
    ratings = _ratings_of(files, edition)
    films_name = {"u.data": "u.item", "ratings.dat": "movies.dat"}.get(ratings.name, "movies.csv")
    films = files.get(films_name, what="the films", beside=ratings)
    links = files.find("links.csv", beside=ratings)
    interactions = read_ratings(ratings, progress=progress)
    items = read_films(films, genres=files.find("u.genre", beside=ratings))
    rows = [
        files.row(ratings, f"{interactions.height:,} ratings", "interactions"),
        files.row(films, f"{items.height:,} films", "items"),
    ]
    if links is not None:
        items = items.join(read_links(links), on="item_id", how="left", maintain_order="left")
        rows.append(files.row(links, "ids at IMDb and TMDB", "columns imdb_id, tmdb_id of items"))
    posters = _posters(files, items, posters_by)
    rows += posters.rows
    for name in ("tags.csv", "tags.dat", "u.user", "users.dat", "genome-scores.csv"):
        if (other := files.find(name, beside=ratings)) is not None:
            rows.append(files.row(other, _LEFT_OUT[name], "nothing: left out"))
    return ForeignData(
        interactions=interactions,
        items=items,
        pictures=posters.there,
        encoded=posters.encoded if posters.packed else None,
        files=tuple(rows),
        notes=(*posters.notes, "All ratings are kept: --min-rating 4 takes those of films that were liked."),
    )


_LEFT_OUT = {
    "tags.csv": "tags that people gave to films",
    "tags.dat": "tags that people gave to films",
    "u.user": "age, gender, occupation, postal code of people",
    "users.dat": "age, gender, occupation, postal code of people",
    "genome-scores.csv": "relevance of tags for films",
}


def _ratings_of(files: PublishedFiles, edition: str | None) -> Published:
    """The table of ratings of the one edition, or of the edition that is asked for."""
    found = files.matching("u.data", "ratings.dat", "ratings.csv")
    if edition is not None:
        names = {*_FOLDERS.get(edition, ()), edition}
        above = files.source.parent
        parts = [
            {part.removesuffix(".zip") for part in Path(one.place).relative_to(above).parts} for one in found
        ]
        found = [one for one, its in zip(found, parts, strict=True) if its & names]
    if not found:
        which = (
            "u.data, ratings.dat or ratings.csv" if edition is None else f"{edition}.zip, or what is in it"
        )
        raise DataError(
            f"{files.source}: holds no {which} (the ratings). Put it there, under its published name."
        )
    if len(found) > 1:
        several = ", ".join(str(one) for one in found[:4])
        raise DataError(
            f"{files.source}: holds several tables of ratings: {several}. Say which: --set edition=ml-25m, or give "
            f"the folder or the zip of one."
        )
    return found[0]


# ---- posters ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Posters:
    """Posters of films: files where they lie, files in archives, what is told of them."""

    there: Mapping[str, Path]
    packed: Mapping[str, Published]
    rows: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """The pictures in archives: item, bytes."""
        return contents(self.packed)


def _posters(files: PublishedFiles, items: pl.DataFrame, posters_by: PosterIds | None) -> _Posters:
    pictures = files.pictures()
    if not pictures:
        note = (
            "There are no posters: GroupLens publishes none. Put a folder of them into the source, named by "
            "movieId, imdbId or tmdbId, and convert again; or put them into DATA/images, named by item_id."
        )
        return _Posters({}, {}, notes=(note,))
    by_stem: dict[str, Published] = {}
    for picture in pictures:
        stem = picture.stem.lower()
        if stem in by_stem:
            raise DataError(f"{picture}: is the second poster of that name, after {by_stem[stem]}. Keep one.")
        by_stem[stem] = picture
    chosen = posters_by or _kind_of_names(files.source, set(by_stem), items)
    there: dict[str, Path] = {}
    packed: dict[str, Published] = {}
    used = set()
    for item, stems in _stems(items, chosen).items():
        poster = next((by_stem[stem] for stem in stems if stem in by_stem), None)
        if poster is not None:
            used.add(poster)
            if poster.member is None:
                there[item] = poster.path
            else:
                packed[item] = poster
    if not used:
        shown = pictures[0].name
        raise DataError(
            f"{files.source}: none of {len(pictures):,} pictures (first {shown}) is named by a {chosen} of these "
            f"films. Say which id the names are: --set posters_by=movieId, imdbId or tmdbId."
        )
    others = len(pictures) - len(used)
    place = str(Path(pictures[0].place))
    rows = (file_row(place, f"{len(used):,} posters, named by {chosen}", "the pictures of items"),)
    notes = (f"{others:,} of {len(pictures):,} pictures are of none of these films: left out.",)
    return _Posters(there, packed, rows, notes if others else ())


def _kind_of_names(source: Path, stems: set[str], items: pl.DataFrame) -> PosterIds:
    """The id that most names are; films have several numbers, so it must be most by far."""
    kinds: tuple[PosterIds, ...] = ("movieId", "imdbId", "tmdbId")
    fit = {
        kind: len({stem for names in _stems(items, kind).values() for stem in names if stem in stems})
        for kind in kinds
    }
    first, second = sorted(fit, key=lambda kind: -fit[kind])[:2]
    if fit[first] < 2 * fit[second]:
        counts = ", ".join(f"{n:,} are a {kind}" for kind, n in fit.items())
        raise DataError(
            f"{source}: cannot tell which id the names of the {len(stems):,} pictures are: {counts}. Say it: "
            f"--set posters_by=movieId, imdbId or tmdbId."
        )
    return first


def _stems(items: pl.DataFrame, kind: PosterIds) -> dict[str, tuple[str, ...]]:
    """By item, the names that its poster may have, without suffix and in small letters."""
    if kind == "movieId":
        return {item: (item,) for item in items["item_id"]}
    column = "imdb_id" if kind == "imdbId" else "tmdb_id"
    if column not in items.columns:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for item, other in items.select("item_id", column).drop_nulls().iter_rows():
        number = other.removeprefix("tt")
        found[item] = (other, number, number.lstrip("0")) if kind == "imdbId" else (other,)
    return found


# ---- what is published -------------------------------------------------------------------------------


def _zip(edition: str, what: str, size: int | None = None, md5: str | None = None) -> PublishedFile:
    return PublishedFile(
        name=f"{edition}.zip",
        what=what,
        needed=False,
        address=f"https://files.grouplens.org/datasets/movielens/{edition}.zip",
        size=size,
        digest=None if md5 is None else f"md5:{md5}",
        edition=edition,
    )


MOVIELENS = NamedDataset(
    name="movielens-posters",
    title="MovieLens, with posters",
    what="ratings of films, and their posters",
    size="from 943 users, 1,682 films, 100,000 ratings (ml-100k, 5 MB) to 200,948 users, 87,585 films, 32,000,204 "
    "ratings (ml-32m, 239 MB); posters apart",
    licence="research, no commercial use without permission, the publications cite it; redistribution depends on the "
    "edition (its README). Posters belong to the studios",
    citation="F. Maxwell Harper, Joseph A. Konstan: The MovieLens Datasets: History and Context. ACM TiiS 5(4), "
    "2015. doi:10.1145/2827872",
    home="https://grouplens.org/datasets/movielens/",
    files=(
        _zip("ml-100k", "100,000 ratings, 1998", 4_924_029, "0e33842e24a9c977be4e0107933c0723"),
        _zip("ml-1m", "1,000,209 ratings, 2003", 5_917_549, "c4d9eecfca2ab87c1945afe126590906"),
        _zip("ml-10m", "10,000,054 ratings, 2009", 65_566_137, "ce571fd55effeba0271552578f2648bd"),
        _zip("ml-20m", "20,000,263 ratings, 2015", 198_702_078, "cd245b17a1ae2cc31bb14903e1204af3"),
        _zip("ml-25m", "25,000,095 ratings, 2019", 261_978_986, "6b51fb2759a8657d3bfcbfc42b592ada"),
        _zip("ml-32m", "32,000,204 ratings, 2024", 238_950_008, "d472be332d4daa821edc399621853b57"),
        _zip("ml-latest-small", "some 100,000 ratings; changes over time"),
        _zip("ml-latest", "all ratings; changes over time"),
        PublishedFile("*.jpg", "posters named by movieId, imdbId or tmdbId, from elsewhere", needed=False),
    ),
    read=read_movielens,
)
