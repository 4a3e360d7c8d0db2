"""`visrec triples`, on a data set folder as it comes."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from visrec.training.strategies import STRATEGIES


@pytest.fixture(scope="module")
def gallery(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shop, since features are made in it."""
    return Path(shutil.copytree(shop, tmp_path_factory.mktemp("triples") / "gallery"))


@pytest.fixture(scope="module")
def sheet(here, gallery, tmp_path_factory) -> tuple[str, dict]:
    out = tmp_path_factory.mktemp("sheets") / "sheet.html"
    done = here("triples", gallery, "--sampler", "guidelines", "--out", out, "--n", 13, "--json")
    return out.read_text(encoding="utf-8"), json.loads(done.stdout)


def _well_formed(page: str) -> None:
    class Check(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "link"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    check = Check()
    check.feed(page)
    assert check.open == []


def test_every_strategy_is_shown_with_its_rule(sheet):
    page, facts = sheet
    for strategy in STRATEGIES:
        assert strategy.rule in page
    assert facts["triples"] == 13
    shown = [count for key, count in facts.items() if key[0].isdigit()]
    assert sorted(shown) == [2, 2, 2, 2, 2, 3]
    assert page.count('<li class="triple">') == 13
    assert page.count('class="above pos"') == page.count('class="above neg"') == 13


def test_the_page_needs_nothing_else_and_is_whole(sheet):
    page, _ = sheet
    _well_formed(page)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    used = set(re.findall(r'class="frame (p\d+)"', page))
    assert used == set(re.findall(r"^\.(p\d+) \{ background-image", page, flags=re.MULTILINE))


def test_captions_say_who_made_an_item_and_which_cluster_it_is_in(sheet, gallery):
    page, _ = sheet
    artists = pl.read_csv(gallery / "items.csv")["artist"].unique().to_list()
    assert any(f'class="artist" title="{artist}"' in page for artist in artists)
    assert re.search(r'<p class="cluster">cluster \d+</p>', page)


def test_features_and_clusters_are_kept_and_taken_again(here, sheet, gallery, tmp_path):
    folder = gallery / "features" / "color"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert any(path.name.startswith("clusters-") for path in before)
    here("triples", gallery, "--out", tmp_path / "again.html", "--n", 13)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == sheet[0]
    here("triples", gallery, "--out", tmp_path / "other.html", "--n", 13, "--seed", 1)
    assert (tmp_path / "other.html").read_text(encoding="utf-8") != sheet[0]


@pytest.mark.parametrize("sampler", ["uniform", "popularity"])
def test_other_samplers_need_no_features(here, shop, tmp_path, sampler):
    shop = Path(shutil.copytree(shop, tmp_path / "shop", ignore=shutil.ignore_patterns("features")))
    done = here("triples", shop, "--sampler", sampler, "--out", tmp_path / "sheet.html", "--n", 5)
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    _well_formed(page)
    assert page.count('<li class="triple">') == 5
    assert "cluster" not in re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL)
    assert "triples: 5" in done.stdout
    assert not (shop / "features" / "color").exists()


def test_strategies_that_are_left_out_are_said_to_be(here, shop, tmp_path):
    bare = Path(shutil.copytree(shop, tmp_path / "bare"))
    (bare / "items.csv").unlink()
    here("triples", bare, "--out", tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "Strategy 3, same artist, same looks, is left out: nobody knows who made the items" in page
    assert STRATEGIES[3].rule not in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sampler", "clever"], "sampler is 'clever'; expected one of uniform, popularity, guidelines."),
        (["--creator", "maker"], "guidelines.creator is 'maker', but the items' table has no such column"),
    ],
)
def test_wrong_words_are_one_clear_line(here, gallery, tmp_path, words, message):
    done = here("triples", gallery, "--out", tmp_path / "sheet.html", *words, status=2)
    assert done.stderr.splitlines()[-1].startswith(f"visrec: {message}")
    assert not (tmp_path / "sheet.html").exists()


def test_a_run_of_a_model_that_needs_no_features_gets_them_for_the_guidelines(here, gallery, tmp_path):
    (tmp_path / "experiment.toml").write_text(
        f'[data]\npath = "{gallery}"\n[models.bpr]\nsampler = "guidelines"\nepochs = 2\n'
        "[models.bpr.guidelines]\nruns = 1\n"
    )
    here("run", tmp_path / "experiment.toml", "--out", tmp_path / "run")
    trained = tmp_path / "run" / "models" / "bpr" / "model.safetensors"

    def report() -> dict:
        return json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["provenance"]

    assert list((tmp_path / "run" / "features").glob("clusters-*"))
    first = trained.stat().st_mtime_ns
    here("run", tmp_path / "experiment.toml", "--out", tmp_path / "run")  # nothing is left to do
    assert trained.stat().st_mtime_ns == first
    known = report()["data"]["metadata"]
    items = pl.read_csv(gallery / "items.csv", infer_schema=False)
    items.reverse().with_columns(title=pl.lit("a new title")).write_csv(gallery / "items.csv")
    here("run", tmp_path / "experiment.toml", "--out", tmp_path / "run")  # neither rows' order nor titles do
    assert trained.stat().st_mtime_ns == first
    assert report()["data"]["metadata"] == known
    items.with_columns(pl.col("artist").reverse()).write_csv(gallery / "items.csv")
    here("run", tmp_path / "experiment.toml", "--out", tmp_path / "run")  # artists decide what it learns
    assert trained.stat().st_mtime_ns != first
    assert report()["data"]["metadata"] != known


def test_what_the_guidelines_cannot_do_for_a_model_stands_with_its_results(here, gallery, tmp_path):
    (tmp_path / "experiment.toml").write_text(
        f'[data]\npath = "{gallery}"\n[models.mine]\nmodel = "bpr"\nsampler = "guidelines"\nepochs = 1\n'
        "[models.mine.guidelines]\nruns = 1\nshares = [1, 1, 1, 1, 0, 0]\n[models.popularity]\n"
    )
    said = (
        "mine: sampled without strategies 2 (one item) and 4 (same artist) of the guidelines: the model serves only "
        "users that it was trained on, not histories that are made up."
    )
    shown = here("run", tmp_path / "experiment.toml", "--out", tmp_path / "run").stdout
    assert said in shown
    assert "its share is 0" not in shown
    assert said in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    models = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["provenance"][
        "models"
    ]
    assert models["mine"]["notes"] == [said.removeprefix("mine: ")]
    assert "notes" not in models["popularity"]
    assert said in here("evaluate", tmp_path / "run").stdout
