"""MovieLens in the three formats of GroupLens, with posters by three kinds of names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl
import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.errors import DataError

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
RATINGS = [("1", "1", 4.0, 964982703), ("1", "260", 5.0, 964981680), ("2", "260", 0.5, 1445714835)]
GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip


def csv_edition(folder: Path, *, links: bool = True) -> Path:
    folder.mkdir(parents=True)
    rows = [f"{user},{item},{rating},{time}" for user, item, rating, time in RATINGS]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]) + "\n")
    (folder / "movies.csv").write_text(
        "movieId,title,genres\r\n1,Toy Story (1995),Adventure|Animation|Children\r\n"
        '260,"Léon: ""The Professional"", (a.k.a. X) (1994)",Drama\r\n3,No Year,(no genres listed)\r\n',
        encoding="utf-8",
    )
    if links:
        (folder / "links.csv").write_text(
            "movieId,imdbId,tmdbId\r\n1,0114709,862\r\n260,0110413,101\r\n3,0000007,\r\n"
        )
    return folder


def old_edition(folder: Path) -> Path:
    """ml-100k: Latin-1, a column a genre, no genres named "genres"."""
    folder.mkdir(parents=True)
    rows = [f"{user}\t{item}\t{rating:g}\t{time}" for user, item, rating, time in RATINGS]
    (folder / "u.data").write_text("\n".join(rows) + "\n")
    marks = {"1": {"Animation", "Comedy"}, "260": {"Drama"}, "3": {"unknown"}}
    titles = {"1": "Toy Story (1995)", "260": "Léon (1994)", "3": "unknown"}
    lines = []
    for item, title in titles.items():
        flags = "|".join("1" if genre in marks[item] else "0" for genre in GENRES)
        lines.append(f"{item}|{title}|01-Jan-1995||http://us.imdb.com/M/title-exact?{item}|{flags}")
    (folder / "u.item").write_text("\n".join(lines) + "\n", encoding="latin-1")
    (folder / "u.genre").write_text("\n".join(f"{name}|{n}" for n, name in enumerate(GENRES)) + "\n\n")
    (folder / "u.user").write_text("1|24|M|technician|85711\n")
    return folder


def dat_edition(folder: Path, *, encoding: str = "latin-1") -> Path:
    folder.mkdir(parents=True)
    rows = [f"{user}::{item}::{rating:g}::{time}" for user, item, rating, time in RATINGS]
    (folder / "ratings.dat").write_text("\n".join(rows) + "\n")
    (folder / "movies.dat").write_text(
        "1::Toy Story (1995)::Animation|Children's\n260::Léon: X::Y (1994)::Drama\n", encoding=encoding
    )
    (folder / "users.dat").write_text("1::F::1::10::48067\n")
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return path


def posters(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(JPEG)


def rows_of(data: Path) -> list[tuple[object, ...]]:
    table = pl.read_csv(data / "interactions.csv", infer_schema=False)
    assert table.columns == ["user_id", "item_id", "timestamp", "rating"]
    return [(user, item, float(rating), int(time)) for user, item, time, rating in table.iter_rows()]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("make", "name", "titles"),
    [
        (csv_edition, "ml-32m", ["Toy Story", 'Léon: "The Professional", (a.k.a. X)', "No Year"]),
        (old_edition, "ml-100k", ["Toy Story", "Léon", "unknown"]),
        (dat_edition, "ml-1m", ["Toy Story", "Léon: X::Y"]),
    ],
)
def test_each_format_is_read_from_its_folder_and_from_its_zip(tmp_path, make, name, titles, packed):
    folder = make(tmp_path / "source" / name)
    source = zipped(folder, tmp_path / f"{name}.zip") if packed else tmp_path / "source"
    convert("movielens-posters", source, tmp_path / "data")
    assert rows_of(tmp_path / "data") == RATINGS
    items = pl.read_csv(tmp_path / "data" / "items.csv", schema_overrides={"item_id": pl.String})
    assert items["item_id"].to_list() == ["1", "260", "3"][: len(titles)]
    assert items["title"].to_list() == titles
    assert items["year"].to_list() == [1995, 1994, None][: len(titles)]
    assert items["genres"].to_list()[1:] == ["Drama", None][: len(titles) - 1]
    assert "Animation" in items["genres"][0]
    found = load_dataset(tmp_path / "data", missing_images="mask", min_rating=4)
    assert len(found.interactions) == 2  # of 4 and of 5 stars


def test_films_of_2009_are_utf_8_and_what_else_is_there_is_named(tmp_path):
    dat_edition(tmp_path / "source" / "ml-10M100K", encoding="utf-8")
    made = convert("movielens-posters", tmp_path / "source", tmp_path / "data", options={"edition": "ml-10m"})
    assert pl.read_csv(tmp_path / "data" / "items.csv")["title"][1] == "Léon: X::Y"
    assert {row["file"]: row["became"] for row in made.files} == {
        "ml-10M100K/ratings.dat": "interactions",
        "ml-10M100K/movies.dat": "items",
        "ml-10M100K/users.dat": "nothing: left out",
    }
    assert any("There are no posters" in note for note in made.notes)


def test_genres_and_addresses_of_1998_are_columns(tmp_path):
    old_edition(tmp_path / "ml-100k")
    convert("movielens-posters", tmp_path / "ml-100k", tmp_path / "data")
    items = pl.read_csv(tmp_path / "data" / "items.csv")
    assert items["genres"].to_list() == ["Animation|Comedy", "Drama", None]
    assert items["release_date"].to_list() == ["01-Jan-1995"] * 3
    assert items["imdb_url"][0] == "http://us.imdb.com/M/title-exact?1"


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("movieId", ["1.jpg", "260.jpg", "999.jpg"]),
        ("imdbId", ["tt0114709.jpg", "tt0110413.jpg", "tt9.jpg"]),
        ("imdbId", ["114709.jpg", "0110413.JPG", "9.png"]),
        ("tmdbId", ["862.jpg", "101.png", "999.jpg"]),
    ],
)
@pytest.mark.parametrize("said", [True, False])
def test_posters_are_found_by_the_id_that_their_names_are(tmp_path, kind, names, said):
    csv_edition(tmp_path / "source" / "ml-latest-small")
    posters(tmp_path / "source" / "posters" / "all", *names)
    options = {"posters_by": kind} if said else {}
    made = convert("movielens-posters", tmp_path / "source", tmp_path / "data", options=options)
    catalog = load_dataset(tmp_path / "data", missing_images="mask").catalog
    found = dict(zip(catalog.items.written, [path and path.name for path in catalog.paths], strict=True))
    assert found == {"1": names[0], "260": names[1], "3": None}
    assert f"2 posters, named by {kind}" in [row["what"] for row in made.files]
    assert any("1 of 3 pictures are of none of these films" in note for note in made.notes)
    items = pl.read_csv(tmp_path / "data" / "items.csv", infer_schema=False)
    assert items["imdb_id"].to_list() == ["tt0114709", "tt0110413", "tt0000007"]
    assert items["tmdb_id"].to_list() == ["862", "101", None]


def test_posters_in_a_zip_are_written_into_the_data_set(tmp_path):
    csv_edition(tmp_path / "source" / "ml-25m")
    posters(tmp_path / "MLP", "1.jpg", "260.jpg")
    zipped(tmp_path / "MLP", tmp_path / "source" / "posters.zip")
    convert("movielens-posters", tmp_path / "source", tmp_path / "data")
    assert {path.name: path.read_bytes() for path in (tmp_path / "data" / "images").iterdir()} == {
        "1.jpg": JPEG,
        "260.jpg": JPEG,
    }


def test_names_that_may_be_two_kinds_of_ids_are_asked_about(tmp_path):
    folder = csv_edition(tmp_path / "source" / "ml-25m")
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114709,260\n260,0110413,1\n")
    posters(tmp_path / "source" / "posters", "1.jpg", "260.jpg")
    with pytest.raises(
        DataError, match=r"2 are a movieId, 0 are a imdbId, 2 are a tmdbId\. Say it: --set posters_by"
    ):
        convert("movielens-posters", tmp_path / "source", tmp_path / "data")
    convert("movielens-posters", tmp_path / "source", tmp_path / "data", options={"posters_by": "tmdbId"})
    catalog = load_dataset(tmp_path / "data", missing_images="mask").catalog
    found = dict(zip(catalog.items.written, [path and path.name for path in catalog.paths], strict=True))
    assert found == {"1": "260.jpg", "260": "1.jpg", "3": None}


def test_one_of_several_editions_is_taken_when_it_is_named(tmp_path):
    csv_edition(tmp_path / "source" / "ml-25m")
    zipped(dat_edition(tmp_path / "ml-1m"), tmp_path / "source" / "ml-1m.zip")
    with pytest.raises(DataError, match=r"several tables of ratings: .*--set edition="):
        convert("movielens-posters", tmp_path / "source", tmp_path / "data")
    made = convert("movielens-posters", tmp_path / "source", tmp_path / "data", options={"edition": "ml-1m"})
    assert made.files[0]["file"] == "ml-1m.zip/ml-1m/ratings.dat"
    with pytest.raises(DataError, match=r"holds no ml-20m\.zip"):
        convert("movielens-posters", tmp_path / "source", tmp_path / "other", options={"edition": "ml-20m"})


@pytest.mark.parametrize(
    ("make", "file", "content", "message"),
    [
        (csv_edition, "ratings.csv", "userId,movieId,rating\n1,1,4\n", "expected userId,movieId,rating,timestamp"),
        (csv_edition, "ratings.csv", "userId,movieId,rating,timestamp\n", "holds no rows"),
        (csv_edition, "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4,5\n1,2,x,5\n", "line 3: rating is 'x'"),
        (csv_edition, "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4,5\n1,2,3", "line 3 has 3 fields"),
        (csv_edition, "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4,5,6\n", "line 2 has 5 fields"),
        (csv_edition, "movies.csv", "id,title,genres\n1,a,b\n", "expected the columns movieId,title,genres"),
        (csv_edition, "movies.csv", "movieId,title,genres\n1,a, b,c\n", "row 1 below the header has 4 fields"),
        (csv_edition, "movies.csv", "movieId,title,genres\n1,a,b\n1,c,d\n", "film 1 stands twice"),
        (csv_edition, "movies.csv", "movieId,title,genres\n", "holds no films"),
        (old_edition, "u.data", "1\t1\t4\n", "has no times; expected user, film, rating, Unix seconds"),
        (old_edition, "u.item", "1|Toy Story (1995)|x||y|0|1\n", "line 1 has 7 fields; expected 24"),
        (old_edition, "u.genre", "unknown|0\nAction|2\n", r"expected lines genre\|0, genre\|1"),
        (dat_edition, "ratings.dat", "1:1193:5:978300760\n", "line 1 is"),
        (dat_edition, "movies.dat", "1::Toy Story (1995)\n", "expected id::title::genres"),
    ],
)  # fmt: skip
def test_what_is_not_as_grouplens_writes_it_is_told_and_nothing_is_written(
    tmp_path, make, file, content, message
):
    folder = make(tmp_path / "source")
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=message) as failure:
        convert("movielens-posters", tmp_path / "source", tmp_path / "data")
    assert file in str(failure.value)
    assert not (tmp_path / "data").exists()


def test_a_folder_without_films_or_of_nothing_is_told(tmp_path):
    folder = csv_edition(tmp_path / "source")
    (folder / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"holds no movies\.csv \(the films\)"):
        convert("movielens-posters", tmp_path / "source", tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no u\.data, ratings\.dat or ratings\.csv"):
        convert("movielens-posters", tmp_path / "empty", tmp_path / "data")
    with pytest.raises(DataError, match="does not exist"):
        convert("movielens-posters", tmp_path / "nowhere", tmp_path / "data")


def test_large_tables_are_parsed_in_blocks_with_the_line_of_what_is_wrong(tmp_path, monkeypatch):
    from visrec.data.datasets import number_tables

    monkeypatch.setattr(number_tables, "BLOCK", 64)
    folder = csv_edition(tmp_path / "source")
    rows = [f"{n % 7 + 1},{n % 3 + 1},4.0,{1_000_000 + n}" for n in range(50)]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]))
    told = []
    convert("movielens-posters", folder, tmp_path / "data", progress=lambda *said: told.append(said))
    assert rows_of(tmp_path / "data") == [
        (str(n % 7 + 1), str(n % 3 + 1), 4.0, 1_000_000 + n) for n in range(50)
    ]
    size = (folder / "ratings.csv").stat().st_size
    assert (size, size, "ratings.csv") in told
    rows[40] = "1,2,4.0,yesterday"
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]))
    with pytest.raises(DataError, match="line 42: timestamp is 'yesterday'; expected a whole number"):
        convert("movielens-posters", folder, tmp_path / "other")


def test_the_posters_of_the_shared_data_are_those_of_their_films(tmp_path):
    """The shared data set written as GroupLens would have it becomes itself again."""
    shared = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "movielens-posters"
    if not shared.is_dir():
        pytest.skip("needs ../shared/data/movielens-posters")
    rows = pl.read_csv(shared / "interactions.csv", infer_schema=False)
    items = pl.read_csv(shared / "items.csv", infer_schema=False)
    source = tmp_path / "ml-latest-small"
    (source / "posters").mkdir(parents=True)
    named = {"userId": "user_id", "movieId": "item_id", "rating": "rating", "timestamp": "timestamp"}
    rows.select(**named).write_csv(source / "ratings.csv")
    items.select(movieId="item_id", title="title", genres="genres").write_csv(source / "movies.csv")
    imdb = pl.col("imdb_id").str.strip_prefix("tt")
    items.select(movieId="item_id", imdbId=imdb, tmdbId=pl.lit("")).write_csv(source / "links.csv")
    for picture in (shared / "images").iterdir():
        (source / "posters" / picture.name).symlink_to(picture)
    convert("movielens-posters", source, tmp_path / "data")
    ours, theirs = load_dataset(tmp_path / "data"), load_dataset(shared)
    assert ours.interactions.digest == theirs.interactions.digest
    assert [path.name for path in ours.catalog.paths] == [path.name for path in theirs.catalog.paths]
    titles = theirs.catalog.metadata["title"]
    dated = titles.str.contains(r"\([12][0-9]{3}\)$")
    assert dated.sum() > 5000
    made = ours.catalog.metadata.select(pl.format("{} ({})", "title", "year")).to_series()
    assert made.filter(dated).to_list() == titles.filter(dated).str.replace(r"\s+\(", " (").to_list()
