from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pytest
from pydantic import Field

import visrec
from visrec import registry
from visrec.converting.conversion import convert, export, listed_options
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures, places_as_times
from visrec.data.formats.format import Format
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def _blocks() -> Iterator[np.ndarray]:
    yield np.array([[1.0, 2.0]])
    yield np.array([[3.0, 4.0], [5.0, 6.0]])


def foreign(**changes) -> ForeignData:
    """Two people, three items: a picture within another file, one with a name that no disk has, none of the third."""
    given = {
        "interactions": pl.DataFrame(
            {
                "user_id": ["u", "v", "u"],
                "item_id": ["a", "b/c", "a"],
                "timestamp": [3, 1, 2],
                "rating": [5.0, 4.0, 1.0],
            }
        ),
        "items": pl.DataFrame({"item_id": ["a", "b/c", "d"], "title": ["A, or B", None, "D"]}),
        "encoded": lambda: iter([("a", PNG), ("b/c", PNG)]),
        "features": (
            ForeignFeatures("theirs", pl.Series(["d", "a", "x"]), (2,), _blocks, {"extractor": "caffe"}),
        ),
        "notes": ("It is so.",),
    }
    return ForeignData(**given | changes)


@pytest.fixture
def toy(monkeypatch):
    """A format of ours alone, known to the registry while a test runs."""

    def read(source, *, progress=None, twice: int = 1) -> ForeignData:
        return foreign(notes=(f"{source.name} {twice}",))

    def write(data, folder, *, progress=None) -> tuple[str, ...]:
        (folder / "ids.txt").write_text("\n".join(data.items["item_id"]))
        return ("no place for titles",)

    real = registry.resolve
    made = Format("toy", "Toy", "toys", read, write)
    monkeypatch.setitem(registry.BUILTIN["formats"], "toy", "toy:TOY")
    monkeypatch.setattr(registry, "resolve", lambda kind, name: made if name == "toy" else real(kind, name))


def test_what_is_written_is_read_again(tmp_path):
    (folder := tmp_path / "data").mkdir()
    notes = write_own(foreign(), folder)
    again = read_own(folder, features=[folder / "features" / "theirs"])
    assert again.interactions.equals(foreign().interactions)
    assert again.items.sort("item_id").equals(foreign().items)
    assert {item: path.read_bytes() for item, path in again.pictures.items()} == {"a": PNG, "b/c": PNG}
    (vectors,) = again.features
    assert vectors.ids.to_list() == ["a", "d"]
    np.testing.assert_array_equal(np.concatenate([*vectors.blocks()]), [[3, 4], [1, 2]])
    assert [note for note in notes if "1 of 3 items have no picture" in note]
    assert "features/theirs: 1 vectors are of no item of the data set: left out." in notes


def test_the_folder_is_a_data_set(tmp_path):
    (folder := tmp_path / "data").mkdir()
    write_own(foreign(), folder)
    data = load_dataset(folder, min_rating=4, missing_images="mask")
    assert (
        len(data.interactions) == 2
    )  # u's newest rating of "a" is 5, v's of "b/c" 4; the older of u does not count
    features = Features.load(folder / "features" / "theirs").align(data.catalog.items)
    assert features.missing.tolist() == [False, False, True]


def test_features_that_do_not_fit_their_ids_are_refused(tmp_path):
    (folder := tmp_path / "data").mkdir()
    few = ForeignFeatures("theirs", pl.Series(["a"]), (2,), _blocks)
    with pytest.raises(DataError, match="more vectors than the 1 ids"):
        write_own(foreign(features=(few,)), folder)
    assert not (folder / "features" / "theirs").exists()


def test_convert_passes_options_and_notes(toy, tmp_path):
    made = convert("toy", tmp_path / "there", tmp_path / "data", options={"twice": "2"})
    assert made.notes[0] == "there 2"
    with pytest.raises(ConfigError, match=r"no option .thrice.\. Its options: twice"):
        convert("toy", tmp_path, tmp_path / "other", options={"thrice": "2"})
    with pytest.raises(ConfigError, match="--set twice=two: "):
        convert("toy", tmp_path, tmp_path / "other", options={"twice": "two"})
    assert not (tmp_path / "other").exists()


def test_nothing_that_is_there_is_written_over(toy, tmp_path):
    convert("toy", tmp_path, tmp_path / "data")
    with pytest.raises(ConfigError, match="is there already"):
        convert("toy", tmp_path, tmp_path / "data")
    with pytest.raises(ConfigError, match="is there already"):
        export("toy", tmp_path / "data", tmp_path / "data")


def test_export_writes_what_convert_made(toy, tmp_path):
    convert("toy", tmp_path, tmp_path / "data")
    made = export("toy", tmp_path / "data", tmp_path / "out", min_rating=4)
    assert (tmp_path / "out" / "ids.txt").read_text() == "a\nd\nb/c"
    assert made.notes == ["no place for titles"]


def test_a_format_that_is_only_read_is_not_written(tmp_path):
    with pytest.raises(ConfigError, match="tutorial is only read"):
        export("tutorial", tmp_path, tmp_path / "out")


def test_places_as_times_count_within_a_user():
    table = pl.DataFrame({"user_id": ["u", "v", "u"], "item_id": ["a", "b", "c"]})
    assert places_as_times(table)["timestamp"].to_list() == [0, 0, 1]


def test_converting_exporting_and_fetching_are_public_names(tmp_path, toy):
    (tmp_path / "source").mkdir()
    assert visrec.convert("toy", tmp_path / "source", tmp_path / "data").notes[0] == "source 1"
    assert visrec.export("toy", tmp_path / "data", tmp_path / "out").notes == ["no place for titles"]
    with pytest.raises(visrec.VisrecError, match="there is no column image_url"):
        visrec.fetch_images(tmp_path / "data")
    assert {"convert", "export", "fetch_images"} <= set(dir(visrec))


def test_an_option_keeps_the_limits_of_its_type(monkeypatch, tmp_path):
    def read(source, *, progress=None, twice: Annotated[int, Field(ge=1)] = 1) -> ForeignData:
        return foreign()

    made = Format("toy", "Toy", "toys", read)
    monkeypatch.setattr("visrec.converting.conversion._entry", lambda name: made)
    with pytest.raises(ConfigError, match=r"--set twice=0: .*greater than or equal to 1"):
        convert("toy", tmp_path, tmp_path / "data", options={"twice": "0"})


def test_options_are_told_in_the_words_of_the_docstring(monkeypatch):
    def read(
        source, *, progress=None, kind: Literal["a", "b"] = "a", place: Path | None = None, deep: bool = False
    ) -> ForeignData:
        """Read it.

        Args:
            source: the folder.
            progress: called.
            kind: which of them; "a": the first,
                "b": the other.
            place: where else. None: nowhere.
            deep: folders too.

        Raises:
            DataError: never.
        """
        return foreign()

    monkeypatch.setattr(
        "visrec.converting.conversion._entry", lambda name: Format("toy", "Toy", "toys", read)
    )
    assert [tuple(row.values()) for row in listed_options("toy")] == [
        ("--set kind=…", "convert", 'which of them; "a": the first, "b": the other.', "a or b", "a"),
        ("--set place=…", "convert", "where else. None: nowhere.", "a path", ""),
        ("--set deep=…", "convert", "folders too.", "true or false", "false"),
    ]


@pytest.mark.parametrize("kind", ["formats", "datasets"])
def test_each_option_says_what_it_means(kind):
    rows = [row | {"of": name} for name in registry.names(kind) for row in listed_options(name)]
    assert rows
    assert [row for row in rows if not row["what"] or "typing." in row["takes"]] == []


def test_an_export_lists_files_and_folders_of_many(toy, tmp_path, monkeypatch):
    def write(data, folder, *, progress=None) -> tuple[str, ...]:
        (folder / "table.tsv").write_text("x" * 1500)
        (folder / "vectors").mkdir()
        for n in range(20):
            (folder / "vectors" / f"{n}.npy").write_bytes(b"x" * 100)
        (folder / "few").mkdir()
        (folder / "few" / "one.npy").write_bytes(b"x")
        return ()

    convert("toy", tmp_path, tmp_path / "data")
    made = Format("toy", "Toy", "toys", None, write)
    monkeypatch.setattr(registry, "resolve", lambda kind, name: made)
    listed = [(row["file"], row["what"]) for row in export("toy", tmp_path / "data", tmp_path / "out").files]
    assert listed == [("few/one.npy", "1 B"), ("table.tsv", "1.5 kB"), ("vectors/", "20 files, 2.0 kB")]
