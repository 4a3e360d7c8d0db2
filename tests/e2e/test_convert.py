"""`visrec convert` as a real process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.tutorial_files import write_csv, write_embedding


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "tutorial"
    rng = np.random.default_rng(0)
    items = [f"{n}" for n in rng.permutation(40)]
    write_embedding(
        folder / "data" / "embedding-resnet50.npy", [f"{i}.jpg" for i in items], rng.normal(size=(40, 8))
    )
    rows = [(f"u{u}", items[int(i)], t) for u in range(8) for t, i in enumerate(rng.permutation(40)[:6])]
    write_csv(folder / "data" / "wikimedia.csv", "user_id,item_id,timestamp", rows)
    return folder


def test_convert_makes_a_data_set_that_other_commands_take(visrec, source, tmp_path):
    data = tmp_path / "data"
    done = visrec("convert", "tutorial", source, data)
    assert "data/wikimedia.csv" in done.stdout
    assert "features/resnet50" in done.stdout
    assert f"out: {data}" in done.stdout
    similar = json.loads(
        visrec("similar", data / "features" / "resnet50", "--item", "7", "-k", "3", "--json").stdout
    )
    assert len(similar) == 3
    again = visrec("convert", "tutorial", source, data, status=2)
    assert "is there already" in again.stderr


def test_convert_prints_json(here, source, tmp_path):
    found = json.loads(here("convert", "tutorial", source, tmp_path / "data", "--json").stdout)
    assert [row["became"] for row in found["files"]] == ["features/resnet50", "interactions.csv"]


def test_an_unknown_format_is_one_line(here, source, tmp_path):
    done = here("convert", "tutoral", source, tmp_path / "data", status=2)
    assert "There is no format 'tutoral'. Did you mean tutorial?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_wants_to_run_code_is_one_line(here, source, tmp_path):
    path = source / "data" / "embedding-resnet50.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1, 2)})
        file.write(f"cos\nsystem\n(S'touch {tmp_path / 'mark'}'\ntR.".encode())
    done = here("convert", "tutorial", source, tmp_path / "data", status=2)
    assert "wants to run os.system" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2  # the stage, and the error
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "data").exists()


def test_help_lists_it(here):
    assert "convert" in here("--help").stdout
