from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from visrec.errors import FeaturesError
from visrec.features.shards import Shards

IDENTITY = {"extractor": "color", "options": {"side": (3, 4)}, "weights": None}
ROW = (3,)


def vectors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *ROW)).astype(np.float32)


def filled(folder: Path) -> Shards:
    """Two shards, of the images a, b, c and d, e."""
    shards = Shards(folder, IDENTITY, ROW)
    shards.write(["a", "b", "c"], vectors(3, 1))
    shards.write(["d", "e"], vectors(2, 2))
    return shards


def found_in(shards: Shards) -> dict[str, list[float]]:
    """The vector of each image, as the table says where it is."""
    arrays = [np.load(path) for path in shards.paths]
    return {
        image: arrays[source][row].tolist()
        for image, source, row in shards.table().select("image", "source", "row").rows()
    }


EXPECTED = dict(zip("abcde", [*vectors(3, 1).tolist(), *vectors(2, 2).tolist()], strict=True))


def test_vectors_are_found_by_image_now_and_after_an_interruption(tmp_path: Path):
    shards = filled(tmp_path / "out.partial")
    assert found_in(shards) == EXPECTED
    again = Shards(tmp_path / "out.partial", IDENTITY, ROW)
    assert found_in(again) == EXPECTED
    again.write(["f"], vectors(1, 3))
    assert found_in(Shards(tmp_path / "out.partial", IDENTITY, ROW)) == {
        **EXPECTED,
        "f": vectors(1, 3)[0].tolist(),
    }


def test_new_shards_are_empty_and_have_the_same_columns(tmp_path: Path):
    empty = Shards(tmp_path / "out.partial", IDENTITY, ROW)
    assert empty.paths == []
    assert empty.state() == {}
    assert empty.table().is_empty()
    assert empty.table().schema == filled(tmp_path / "other").table().schema


@pytest.mark.parametrize(
    "damage", ["no json", "half a json", "no array", "cut array", "fewer images", "another row"]
)
def test_a_shard_that_is_not_whole_is_left_out_and_not_overwritten(tmp_path: Path, damage: str):
    folder = tmp_path / "out.partial"
    filled(folder)
    array, about = folder / "000000000.npy", folder / "000000000.json"
    if damage == "no json":
        about.unlink()
    if damage == "half a json":
        about.write_bytes(about.read_bytes()[:9])
    if damage == "no array":
        array.unlink()
    if damage == "cut array":
        array.write_bytes(array.read_bytes()[:-1])
    if damage == "fewer images":
        about.write_text(json.dumps(["a", "b"]))
    if damage == "another row":
        np.save(array, np.zeros((3, 4), dtype=np.float32))
    shards = Shards(folder, IDENTITY, ROW)
    rest = {image: EXPECTED[image] for image in "de"}
    assert found_in(shards) == rest
    shards.write(["a"], vectors(1, 1))
    assert shards.paths[-1].name == "000000002.npy"
    assert found_in(Shards(folder, IDENTITY, ROW)) == {**rest, "a": vectors(1, 1)[0].tolist()}


def test_shards_of_another_extractor_are_refused_and_kept(tmp_path: Path):
    folder = tmp_path / "out.partial"
    kept = filled(folder).paths
    with pytest.raises(FeaturesError, match=r"other settings: weights .*, not w\.pth"):
        Shards(folder, {**IDENTITY, "weights": "w.pth"}, ROW)
    assert all(path.is_file() for path in kept)
    assert Shards(folder, IDENTITY, ROW).paths == kept


def test_a_folder_without_any_shard_is_taken_over(tmp_path: Path):
    folder = tmp_path / "out.partial"
    Shards(folder, IDENTITY, ROW).write_state({"words": vectors(4)})
    other = Shards(folder, {**IDENTITY, "weights": "w.pth"}, ROW)
    assert other.state() == {}
    assert [path.name for path in folder.iterdir()] == ["extraction.json"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FeaturesError, match="is not an unfinished extraction; move it away"):
        Shards(tmp_path, IDENTITY, ROW)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_what_a_kill_left_half_written_is_swept(tmp_path: Path):
    folder = tmp_path / "out.partial"
    filled(folder)
    (folder / ".000000002.0123abcd.tmp.npy").write_bytes(b"half")
    before = {path.name for path in folder.iterdir()} - {".000000002.0123abcd.tmp.npy"}
    assert found_in(Shards(folder, IDENTITY, ROW)) == EXPECTED
    assert {path.name for path in folder.iterdir()} == before


def test_what_was_learnt_is_kept_until_all_is_removed(tmp_path: Path):
    shards = filled(tmp_path / "out.partial")
    learnt = {"words": vectors(4), "0/mean": np.arange(3)}
    shards.write_state(learnt)
    found = Shards(tmp_path / "out.partial", IDENTITY, ROW).state()
    assert found.keys() == learnt.keys()
    for name, array in learnt.items():
        assert np.array_equal(found[name], array)
    shards.remove()
    assert list(tmp_path.iterdir()) == []
