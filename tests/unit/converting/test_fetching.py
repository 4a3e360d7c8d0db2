"""--download: what has an address and a checksum, into SOURCE, and only when it is asked for."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from visrec import registry
from visrec.cli import app
from visrec.cli.data_rendering import show_conversion, show_dataset
from visrec.converting.conversion import Conversion, convert
from visrec.data.datasets.movielens import MOVIELENS
from visrec.errors import ConfigError, DataError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """ml-1m.zip at an address of this machine, with its checksum; the folder that it lies in."""
    place = tmp_path / "published"
    place.mkdir()
    with zipfile.ZipFile(place / "ml-1m.zip", "w") as archive:
        archive.writestr("ml-1m/ratings.dat", "1::1::5::100\n2::1::3::101\n")
        archive.writestr("ml-1m/movies.dat", "1::Toy Story (1995)::Comedy\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    content = (place / "ml-1m.zip").read_bytes()
    files = tuple(
        replace(
            one,
            address=f"http://127.0.0.1:{server.server_port}/ml-1m.zip",
            size=len(content),
            digest=f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
        )
        if one.name == "ml-1m.zip"
        else one
        for one in MOVIELENS.files
    )
    real = registry.resolve
    made = replace(MOVIELENS, files=files)
    monkeypatch.setattr(
        registry, "resolve", lambda kind, name: made if name == made.name else real(kind, name)
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield place
    server.shutdown()
    server.server_close()


def test_a_named_edition_is_downloaded_and_converted(tmp_path, published):
    told = []
    made = convert(
        "movielens-posters", tmp_path / "source", tmp_path / "data", options={"edition": "ml-1m"}, download=True,
        progress=lambda *said: told.append(said),
    )  # fmt: skip
    content = (published / "ml-1m.zip").read_bytes()
    assert (tmp_path / "source" / "ml-1m.zip").read_bytes() == content
    assert made.notes[0].startswith("ml-1m.zip, from http://127.0.0.1:")
    assert (1, 1, "MiB of ml-1m.zip") in told  # some 400 bytes, rounded up
    assert (tmp_path / "data" / "interactions.csv").read_text().splitlines()[1:] == [
        "1,1,100,5.0",
        "2,1,101,3.0",
    ]


def test_without_the_flag_nothing_is_downloaded(tmp_path, published):
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match=r"holds no ml-1m\.zip"):
        convert("movielens-posters", tmp_path / "source", tmp_path / "data", options={"edition": "ml-1m"})
    assert not list((tmp_path / "source").iterdir())


def test_what_comes_with_another_checksum_is_not_kept(tmp_path, published):
    content = bytearray((published / "ml-1m.zip").read_bytes())
    content[40] ^= 1
    (published / "ml-1m.zip").write_bytes(content)
    with pytest.raises(DataError, match="expected md5:"):
        convert(
            "movielens-posters", tmp_path / "source", tmp_path / "data", options={"edition": "ml-1m"}, download=True
        )  # fmt: skip
    assert not (tmp_path / "source" / "ml-1m.zip").exists()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Say which edition: --set edition=ml-100k"),
        ({"edition": "ml-latest-small"}, "ml-latest-small has no checksum; take another edition"),
    ],
)
def test_an_edition_is_said_and_has_a_checksum(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        convert("movielens-posters", tmp_path / "source", tmp_path / "data", options=options, download=True)


def test_what_has_no_stable_address_is_got_by_hand(tmp_path):
    with pytest.raises(
        ConfigError, match=r"Nothing of wikimedia can be downloaded.*wikimedia\.csv.*github\.com"
    ):
        convert("wikimedia", tmp_path / "source", tmp_path / "data", download=True)
    with pytest.raises(ConfigError, match="tutorial is a format"):
        convert("tutorial", tmp_path / "source", tmp_path / "data", download=True)
    assert not (tmp_path / "source").exists()


def test_every_file_that_is_downloaded_says_its_size_and_checksum():
    for name in registry.names("datasets"):
        for file in registry.resolve("datasets", name).files:
            assert (file.digest is None) or (file.can_be_downloaded and file.size)


def test_the_command_line_shows_addresses_and_takes_the_flag(tmp_path, published):
    run = CliRunner()
    shown = run.invoke(app, ["datasets", "movielens-posters"]).stdout
    assert "https://files.grouplens.org/datasets/movielens/ml-25m.zip (--download)" in shown
    assert "ml-latest-small.zip (by hand: it has no checksum)" in shown
    words = ["convert", "movielens-posters", str(tmp_path / "s"), str(tmp_path / "d"), "--download"]
    made = run.invoke(app, [*words, "--set", "edition=ml-1m"])
    assert made.exit_code == 0
    assert (tmp_path / "d" / "interactions.csv").exists()
    assert f"Next: visrec check {tmp_path / 'd'}" in made.stdout


def test_of_editions_one_is_needed(capsys):
    show_dataset(MOVIELENS, as_json=False)
    row = next(line for line in capsys.readouterr().out.splitlines() if "ml-1m.zip" in line)
    assert row.rstrip("│ ").endswith("one of these")


def test_names_of_files_are_shown_as_they_are(capsys):
    made = Conversion([{"file": "a[/b] [bold]:smile:.inter", "what": "[red]", "became": "x"}], [])
    show_conversion(made, Path("out"), as_json=False)
    said = capsys.readouterr().out
    assert "a[/b] [bold]:smile:.inter" in said
    assert "[red]" in said


def test_a_format_without_options_says_so():
    run = CliRunner()
    said = run.invoke(app, ["formats", "wikimedia"]).stdout.splitlines()
    assert said == [
        "wikimedia has no options.",
        "Its files: visrec datasets wikimedia",
        "Then: visrec convert wikimedia FOLDER-WITH-THESE-FILES my-data",
    ]
    assert run.invoke(app, ["formats", "wikimedia", "--json"]).stdout == "[]\n"


def test_to_draw_a_data_set_it_is_named(tmp_path):
    refused = CliRunner().invoke(app, ["datasets", "--out", str(tmp_path / "x")])
    assert isinstance(refused.exception, ConfigError)
    assert f"visrec datasets synthetic --out {tmp_path / 'x'}" in str(refused.exception)
