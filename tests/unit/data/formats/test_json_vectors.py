from __future__ import annotations

import json

import numpy as np
import pytest

from visrec.data.formats import json_vectors
from visrec.data.formats.json_vectors import read_json_vectors


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_vectors_are_the_same_however_they_are_cut_into_chunks(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_vectors, "_CHUNK", chunk)
    monkeypatch.setattr(json_vectors, "_BLOCK", 2)
    given = {f"v{n}": [n + 0.5, -n * 1e-3, float(n**20)] for n in range(9)}
    (path := tmp_path / "vectors.json").write_text(json.dumps(given, indent=indent))
    known = {"v1", "v4", "v5", "v8", "w"}
    found, strangers = read_json_vectors(path, known, name="theirs")
    assert strangers == 5
    assert found.ids.to_list() == ["v1", "v4", "v5", "v8"]
    assert found.shape == (3,)
    for _ in range(2):  # as often as it is called
        blocks = [*found.blocks()]
        assert [len(block) for block in blocks] == [2, 2]
        expected = np.array([given[item] for item in found.ids], dtype=np.float32)
        np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_spaces_before_the_end_are_no_fault(tmp_path):
    (path := tmp_path / "vectors.json").write_text('{ "a" : [ 1 ,\n2 ]\n}\n')
    found, _ = read_json_vectors(path, ["a"], name="theirs")
    np.testing.assert_array_equal(np.concatenate([*found.blocks()]), [[1, 2]])
