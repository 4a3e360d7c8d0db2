from __future__ import annotations

import pytest
import torch

from visrec.training.checkpoint import load_checkpoint, save_checkpoint

FACTS = {"fingerprint": "mine", "epoch": 3, "rng": {"state": 2**100}, "best": None}


@pytest.fixture
def path(tmp_path):
    tensors = {"a": torch.arange(12.0).reshape(3, 4).T, "b/c": torch.tensor(5), "empty": torch.empty(0, 2)}
    save_checkpoint(tmp_path / "run.checkpoint", tensors, FACTS)
    return tmp_path / "run.checkpoint"


def test_what_was_written_comes_back(path):
    tensors, facts = load_checkpoint(path, "mine")
    assert facts == FACTS  # also whole numbers beyond 64 bit
    assert set(tensors) == {"a", "b/c", "empty"}
    assert torch.equal(tensors["a"], torch.arange(12.0).reshape(3, 4).T)
    assert tensors["b/c"].item() == 5


def test_that_of_another_training_is_ignored(path):
    assert load_checkpoint(path, "another") is None


def test_none_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "nothing", "mine") is None


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_one_that_was_cut_off_is_ignored(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    assert load_checkpoint(path, "mine") is None


def test_one_with_any_changed_byte_is_ignored_or_the_same(path):
    whole = path.read_bytes()
    expected, _ = load_checkpoint(path, "mine")
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        found = load_checkpoint(path, "mine")
        if found is not None:  # the byte was of blank space
            assert found[1] == FACTS, place
            assert all(torch.equal(found[0][name], expected[name]) for name in expected), place


def test_something_else_is_ignored(path):
    path.write_text("not a checkpoint")
    assert load_checkpoint(path, "mine") is None


def test_writing_again_leaves_one_file(path):
    save_checkpoint(path, {"a": torch.zeros(1)}, {**FACTS, "epoch": 4})
    assert [p.name for p in path.parent.iterdir()] == ["run.checkpoint"]
    assert load_checkpoint(path, "mine")[1]["epoch"] == 4
