"""Whether features are of these pictures, and of what they say that made them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import visrec
from visrec.checks.checkup import check
from visrec.checks.images import Pictures
from visrec.checks.inspection import FACTS, Inspected
from visrec.checks.origin import check_origin, check_recomputed, check_related, commands_of
from visrec.data.dataset import load_catalog
from visrec.features.features import Features


@pytest.fixture(scope="module")
def shop(tmp_path_factory, make_clean) -> Path:
    """40 pictures, and their colours as `visrec.extract` keeps them in `features/color`."""
    folder, shop = tmp_path_factory.mktemp("origin") / "shop", make_clean()
    (folder / "images").mkdir(parents=True)
    for name in sorted(shop.files)[:40]:
        (folder / "images" / name.decode()).write_bytes(shop.files[name])
    visrec.extract(
        load_catalog(folder), "color", out=folder / "features" / "color", n_workers=0, pca=4, l2=True
    )
    return folder


def codes(folder: Path, features: Path, **options) -> set[str]:
    found = check(folder, features=[features], n_workers=0, **options).findings
    return {one.code for one in found} - {"no-interactions"}


def test_features_of_the_extractor_that_they_name_have_no_finding(shop):
    assert codes(shop, shop / "features" / "color", recompute=8) == set()


def test_vectors_of_another_order_are_told_by_making_some_again(shop, tmp_path):
    kept = Features.load(shop / "features" / "color", mmap=False)
    rolled = replace(kept, values=np.roll(kept.values, 1, axis=0), raw=np.roll(kept.raw, 1, axis=0))
    rolled.save(tmp_path / "rolled")
    assert codes(shop, tmp_path / "rolled") == set()  # all that they say of themselves is in order
    found = check(shop, features=[tmp_path / "rolled"], recompute=5, n_workers=0).findings
    assert [(one.code, one.count) for one in found if one.severity == "error"] == [("other-extractor", 5)]


def test_an_extractor_that_cannot_be_had_any_more_is_told(shop, tmp_path):
    kept = Features.load(shop / "features" / "color", mmap=False)
    said = {**kept.provenance, "weights_digest": "0" * 64}
    replace(kept, provenance=said).save(tmp_path / "lost")
    assert codes(shop, tmp_path / "lost", recompute=2) == {"lost-extractor"}


def test_what_their_own_description_gives_away():
    plain = Features.from_array(np.eye(3), ["a", "b", "c"])

    def told(**said: object) -> list[str]:
        return [one.code for one in check_origin(Path("f"), replace(plain, provenance=said), {})]

    assert told() == ["unknown-origin"]
    assert told(weights="random") == ["random-weights", "unknown-origin"]
    assert told(weights={"alexnet": "random"}) == ["random-weights", "unknown-origin"]
    assert told(partly_made_with=[{"torch": "1"}]) == ["mixed-versions", "unknown-origin"]


def test_the_command_that_made_features_is_told_whole(shop):
    kept = Features.load(shop / "features" / "color")
    assert commands_of(kept) == {
        "extract": "visrec extract {data} --extractor color --pca 4 --l2",
        "plain": "visrec extract {data} --extractor color",
    }
    settings = {
        "extractor": "alexnet",
        "weights": "w.pth",
        "options": {"layer": "features.3", "pool": "mean"},
    }
    other = replace(kept, provenance={"settings": settings, "steps": []})
    assert commands_of(other)["extract"] == (
        "visrec extract {data} --extractor alexnet --weights w.pth --set layer=features.3 --set pool=mean "
        "--no-standardize"
    )
    assert commands_of(replace(kept, provenance={})) == {}


def test_vectors_that_do_not_go_with_the_pictures_are_told():
    """Vectors are random projections of the small copies, so that alike pictures have alike vectors."""
    rng = np.random.default_rng(0)
    n = 320
    facts = np.zeros(n, dtype=FACTS)
    facts["signature"] = rng.integers(0, 256, facts["signature"].shape)
    items = [f"i{place:03d}" for place in range(n)]
    files = pl.DataFrame({"item_id": items, "path": items})
    pictures = Pictures(files, [Path(item) for item in items], Inspected(facts, {}))
    vectors = facts["signature"].astype(np.float64) @ rng.normal(size=(facts["signature"].shape[1], 64))

    def told(rows: np.ndarray) -> list[str]:
        return [one.code for one in check_related(Path("f"), Features.from_array(rows, items), pictures, {})]

    assert told(vectors) == []
    assert told(np.roll(vectors, 1, axis=0)) == ["unrelated-vectors"]
    assert told(vectors[rng.permutation(n)]) == ["unrelated-vectors"]


def test_nothing_is_made_again_for_features_that_name_no_extractor():
    plain = Features.from_array(np.eye(3), ["a", "b", "c"])
    assert check_recomputed(Path("f"), plain, Pictures(), 3, {}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: rows, set()),
        (lambda rows: rows + 10, {"one-sided-vectors"}),
        (lambda rows: rows * 1e3, {"far-scale"}),
        (lambda rows: rows * 1e-6, {"far-scale"}),
    ],
)
def test_direction_and_scale_of_raw_numbers(shop, tmp_path, change, expected):
    rows = np.random.default_rng(0).normal(size=(40, 6))
    Features.from_array(change(rows), load_catalog(shop).items.values).save(tmp_path / "own")
    assert codes(shop, tmp_path / "own") == {"unknown-origin", *expected}


def test_a_command_against_a_fault_of_features_works_when_typed(shop, tmp_path):
    import shlex

    from typer.testing import CliRunner

    from visrec.cli import app

    data = tmp_path / "shop"
    shutil.copytree(shop, data)
    rows = np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    from PIL import Image

    Image.fromarray(rows).save(data / "images" / "i000.jpg")
    found = check(data, features=[data / "features" / "color"], n_workers=0)
    stale = next(one for one in found.findings if one.code == "stale-vector")
    words = shlex.split(found.command(stale))
    assert words[:2] == ["visrec", "extract"]
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert codes(data, data / "features" / "color") == set()
