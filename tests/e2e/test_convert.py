"""`visrec convert` as a real process."""

from __future__ import annotations

import json
import re
import subprocess
import sys

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


@pytest.mark.slow
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


def test_a_run_takes_the_features_that_were_converted(here, source, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    here("convert", "tutorial", source, data)
    folder = data / "features" / "resnet50"
    words = ["run", data, "--models", "visrank", "--features", folder, "--allow-missing-images", "--out", run]
    done = here(*words)
    assert "features: resnet50" in done.stderr
    before, taken = (json.loads((one / "meta.json").read_text()) for one in (folder, run / "features"))
    assert taken == before
    provenance = json.loads((run / "report.json").read_text())["provenance"]
    assert provenance["features"] == {"digest": before["digest"], **before["provenance"]}
    assert "resnet50 (as they were)" in (run / "report.html").read_text()
    folder.rename(tmp_path / "elsewhere")  # the run has its own
    here(*words)
    assert len(json.loads(here("similar", run, "--item", "7", "-k", 3, "--json").stdout)) == 3
    (tmp_path / "e.toml").write_text(
        f'[data]\npath = "{data}"\nmissing_images = "mask"\n[features]\npath = "elsewhere"\n[models.visrank]\n'
    )
    words = ["run", tmp_path / "e.toml", "--out", tmp_path / "again"]
    here(*words)
    both = here(*words, "--features", tmp_path / "elsewhere", "--extractor", "color", status=2)
    assert "leave out extractor, or leave out path" in both.stderr
    other = here(*words, "--extractor", "color", status=2)  # it takes the place of the path in the file
    assert f"path = '{tmp_path / 'elsewhere'}' there, None now" in other.stderr
    first, again = (
        json.loads((one / "report.json").read_text())["models"] for one in (run, tmp_path / "again")
    )
    assert first == again


def test_a_search_takes_them_too(here, source, tmp_path):
    data, out = tmp_path / "data", tmp_path / "tuning"
    here("convert", "tutorial", source, data)
    words = ["tune", data, "--model", "visrank", "--trials", "2", "--allow-missing-images", "--out", out]
    for _ in range(2):  # the second goes on from what is there
        here(*words, "--features", data / "features" / "resnet50")
    assert f'path = "{data / "features" / "resnet50"}"' in (out / "best.toml").read_text()


def test_convert_prints_json(here, source, tmp_path):
    found = json.loads(here("convert", "tutorial", source, tmp_path / "data", "--json").stdout)
    assert [row["became"] for row in found["files"]] == ["features/resnet50", "interactions.csv"]


def test_an_unknown_format_is_one_line(here, source, tmp_path):
    done = here("convert", "tutoral", source, tmp_path / "data", status=2)
    assert "There is no format or data set 'tutoral'. Did you mean tutorial?" in done.stderr
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


def test_formats_explains_options_and_says_what_to_type(here):
    told = " ".join(here("formats", "recbole").stdout.split())
    assert "RecBole's `benchmark_filename`" in told
    assert "visrec convert recbole SOURCE my-data" in told
    assert "visrec export recbole my-data OUT" in told
    assert "behance has no options." in here("formats", "behance").stdout
    assert "visrec export" not in here("formats", "images").stdout


def test_a_narrow_terminal_gets_rows_below_each_other(here, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal
    monkeypatch.setenv("COLUMNS", "40")
    told = here("formats").stdout
    assert "┃" not in told
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told)
    assert max(map(len, plain.splitlines())) <= 40
    assert re.search(r"^  commands: convert, export *$", plain, re.MULTILINE)
    monkeypatch.setenv("COLUMNS", "80")
    assert "┃" in here("formats").stdout


def test_a_reader_that_has_seen_enough_is_no_bug(tmp_path):
    command = f"set -o pipefail; {sys.executable} -m visrec.cli datasets | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
