"""The synthetic data set: the same files for the same settings, and the tastes that were planted."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.datasets.synthetic import SyntheticConfig, Truth, write_synthetic
from visrec.data.datasets.synthetic.catalogue import Catalogue
from visrec.data.datasets.synthetic.choices import make_interactions
from visrec.data.datasets.synthetic.compositions import COMPOSITIONS
from visrec.data.datasets.synthetic.drawing import draw_catalogue
from visrec.data.datasets.synthetic.motifs import MOTIFS
from visrec.data.datasets.synthetic.palettes import PALETTES
from visrec.data.datasets.synthetic.pictures import Picture, draw_picture
from visrec.data.datasets.synthetic.styles import STYLES
from visrec.data.datasets.synthetic.tastes import make_truth
from visrec.errors import ConfigError, DataError

SMALL = SyntheticConfig(n_items=60, n_users=40, image_size=64, seed=3)
TASTES = SyntheticConfig(n_items=600, n_users=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "shop"
    write_synthetic(folder, SMALL, n_workers=2)
    return folder


@pytest.fixture(scope="module")
def planted() -> tuple[Truth, pl.DataFrame]:
    """Tastes and choices of a larger shop, whose pictures nobody needs to draw."""
    truth = make_truth(Catalogue(TASTES))
    return truth, make_interactions(truth, TASTES)


def read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(folder / name, schema_overrides={"item_id": pl.String, "user_id": pl.String})


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def draw(style: str, palette: int, motif: str, composition: str = "centred", seed: int = 0) -> np.ndarray:
    picture = Picture(style, PALETTES[palette], motif, composition)
    return draw_picture(picture, np.random.default_rng(seed), image_size=64)


# ---------------------------------------------------------------------- files


def test_equal_settings_give_equal_files_whatever_the_number_of_workers(folder: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "again", SMALL, n_workers=1)
    assert digests(tmp_path / "again") == digests(folder)


def test_an_item_does_not_depend_on_how_many_follow_it() -> None:
    few = Catalogue(SMALL).table()
    many = Catalogue(SMALL.replace(n_items=200)).table()
    assert many.head(60).equals(few)


def test_another_seed_gives_another_picture(folder: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "other", SMALL.replace(seed=4))
    ours, other = digests(folder), digests(tmp_path / "other")
    assert not {ours[name] for name in ours} & {other[name] for name in other}


def test_folder_holds_the_documented_layout(folder: Path) -> None:
    interactions, items = read(folder, "interactions.csv"), read(folder, "items.csv")
    assert interactions.columns == ["user_id", "item_id", "timestamp", "evaluation"]
    assert interactions["evaluation"].dtype == pl.Boolean
    assert items.columns == [
        "item_id", "title", "artist", "style", "palette", "motif", "composition", "year"
    ]  # fmt: skip
    assert {path.stem for path in (folder / "images").iterdir()} == set(items["item_id"])
    assert set(interactions["item_id"]) <= set(items["item_id"])
    with Image.open(folder / "images" / "00000.jpg") as image:
        assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", 64)


def test_item_ids_have_leading_zeros(folder: Path) -> None:
    assert read(folder, "items.csv")["item_id"].to_list() == [f"{item:05d}" for item in range(60)]


def test_truth_on_disk_is_the_truth_returned(folder: Path) -> None:
    loaded, returned = Truth.load(folder), write_synthetic(folder, SMALL)
    users = np.arange(5)
    np.testing.assert_array_equal(loaded.utility(users), returned.utility(users))
    assert loaded.item_ids.tolist() == read(folder, "items.csv")["item_id"].to_list()
    assert loaded.user_ids.tolist() == sorted(loaded.user_ids.tolist())


def test_second_call_leaves_the_files_alone(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_synthetic(folder, SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    calls: list[tuple[int, int]] = []
    write_synthetic(
        tmp_path / "empty",
        SyntheticConfig(n_items=40, n_users=12, image_size=32),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 40) for done in range(1, 41)]
    assert len(list((tmp_path / "empty" / "images").iterdir())) == 40


def test_a_folder_with_other_settings_is_refused_by_naming_them(folder: Path) -> None:
    with pytest.raises(DataError, match=r"seed 3 there, 5 asked.*another folder"):
        write_synthetic(folder, SMALL.replace(seed=5))


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="not empty"):
        write_synthetic(tmp_path, SMALL)
    with pytest.raises(DataError, match="is a file"):
        write_synthetic(tmp_path / "thesis.txt", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, n_workers: int) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "shop", SMALL, progress=interrupt, n_workers=n_workers)
    assert list(tmp_path.iterdir()) == []


def test_a_drawing_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        draw_catalogue(Catalogue(SMALL), tmp_path / "nowhere", n_workers=2)


def test_truth_of_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="write_synthetic"):
        Truth.load(tmp_path)
    (tmp_path / "truth.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match="cannot be read"):
        Truth.load(tmp_path)


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(ConfigError, match=r"is 1\.1, expected 1"):
        SyntheticConfig(visual_share=0.6)


# ---------------------------------------------------------------------- pictures


@pytest.mark.parametrize("style", list(STYLES))
def test_every_style_draws_every_motif_in_every_composition(style: str) -> None:
    for number, composition in enumerate(COMPOSITIONS):
        for motif in MOTIFS[number % 2 :: 2]:
            pixels = draw(style, number, motif, composition, seed=number)
            assert pixels.dtype == np.uint8
            assert max(pixels.shape[:2]) == 64
            assert pixels.std() > 8  # something is there to see


@pytest.mark.parametrize("style", ["bauhaus", "watercolour", "mosaic"])
def test_pictures_of_a_palette_are_closer_in_colour_than_pictures_of_two(style: str) -> None:
    histograms = np.array(
        [[_colours(draw(style, p, MOTIFS[k], seed=k)) for k in range(6)] for p in range(len(PALETTES))]
    )  # (P, 6, bins)
    flat = histograms.reshape(-1, histograms.shape[-1])
    apart = np.abs(flat[:, None] - flat[None]).sum(-1)
    palette = np.repeat(np.arange(len(PALETTES)), 6)
    same = (palette[:, None] == palette[None]) & ~np.eye(len(flat), dtype=bool)
    assert apart[palette[:, None] != palette[None]].mean() > 1.25 * apart[same].mean()


def test_styles_differ_in_texture_where_palette_and_motif_are_equal() -> None:
    spectra = np.array([[_texture(draw(style, 0, "boat", seed=k)) for k in range(6)] for style in STYLES])
    within = np.linalg.norm(spectra - spectra.mean(1, keepdims=True), axis=-1).mean()
    means = spectra.mean(1)
    between = np.linalg.norm(means - means.mean(0), axis=-1).mean()
    assert between > within


def _colours(pixels: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    counts = np.histogramdd(lab.reshape(-1, 3), bins=(6, 8, 8), range=((0, 256),) * 3)[0].ravel()
    return np.asarray(counts / counts.sum())


def _texture(pixels: np.ndarray) -> np.ndarray:
    """Logarithmic energy in four bands of detail."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    blurred = [grey, *(cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2, 6.4))]
    return np.log([np.std(a - b) for a, b in pairwise(blurred)])


# ---------------------------------------------------------------------- choices


def test_brand_new_items_are_only_in_held_out_rows(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, rows = planted
    new = truth.item_ids[truth.is_new_item].tolist()
    assert len(new) == round(0.08 * TASTES.n_items)
    assert rows.filter(~pl.col("evaluation"))["item_id"].is_in(new).sum() == 0
    assert 0.22 < rows.filter(pl.col("evaluation"))["item_id"].is_in(new).mean() < 0.38  # type: ignore[operator]


def test_newcomers_are_only_in_held_out_rows(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, rows = planted
    new = set(truth.user_ids[truth.is_new_user])
    assert len(new) == round(0.04 * TASTES.n_users)
    assert not new & set(rows.filter(~pl.col("evaluation"))["user_id"])
    assert new <= set(rows.filter(pl.col("evaluation"))["user_id"])


def test_evaluation_is_what_comes_after_the_cut(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, rows = planted
    assert (rows["evaluation"] == (rows["timestamp"] > int(truth.cut))).all()
    others = truth.user_ids[~truth.is_new_user].tolist()
    held_out = rows.filter(pl.col("evaluation") & pl.col("user_id").is_in(others))
    baskets = held_out.group_by("user_id").agg(pl.col("timestamp").n_unique().alias("n"), pl.len())
    assert (baskets["n"] == 1).all()
    assert set(baskets["len"]) == {1, 2, 3}
    assert len(baskets) > 0.9 * len(others)


def test_nobody_takes_an_item_twice_or_before_its_release(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, rows = planted
    assert not rows.select("user_id", "item_id").is_duplicated().any()
    released = dict(zip(truth.item_ids.tolist(), truth.release.tolist(), strict=True))
    assert (rows["timestamp"] >= rows["item_id"].replace_strict(released)).all()


def test_users_take_several_items_at_a_time(planted: tuple[Truth, pl.DataFrame]) -> None:
    sizes = planted[1].group_by("user_id", "timestamp").len()["len"]
    assert set(sizes) == {1, 2, 3, 4}


def test_activity_is_heavy_tailed_about_its_median(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, rows = planted
    counts = rows.filter(~pl.col("evaluation")).group_by("user_id").len()["len"].to_numpy()
    assert len(counts) == int((~truth.is_new_user).sum())
    assert counts.min() >= 3
    assert 15 <= np.median(counts) <= 26
    assert counts.max() > 4 * np.median(counts)


def test_planted_shares_are_found_in_the_utility(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, _ = planted
    users = np.arange(len(truth.user_ids))
    utility = truth.utility(users)
    for term, share in zip(truth.terms(users), (0.5, 0.3, 0.2), strict=True):
        assert term.mean() == pytest.approx(0.0, abs=1e-9)
        assert term.std() == pytest.approx(1.0)
        explained = np.mean(np.broadcast_to(term, utility.shape) * utility) ** 2
        assert explained == pytest.approx(share, abs=0.03)
    assert utility.var() == pytest.approx(1.0, abs=0.05)


def test_colour_has_its_share_of_the_visual_part(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, _ = planted
    is_colour = np.array([name.startswith(("colour=", "palette=")) for name in truth.visual_names])
    centred = truth.item_visual - truth.item_visual.mean(0)
    colour = truth.user_visual[:, is_colour] @ centred[:, is_colour].T
    assert colour.var() == pytest.approx(0.6, abs=0.08)


def test_held_out_choices_follow_the_truth(planted: tuple[Truth, pl.DataFrame]) -> None:
    truth, rows = planted
    user, item = (
        np.searchsorted(ids, rows[column].to_numpy().astype(str))
        for ids, column in ((truth.user_ids, "user_id"), (truth.item_ids, "item_id"))
    )
    held_out = rows["evaluation"].to_numpy()
    areas = []
    for one in np.unique(user[held_out]):
        scores = truth.utility(np.array([one]))[0]
        free = np.ones(len(scores), dtype=bool)
        free[item[user == one]] = False
        areas += [np.mean(scores[free] < scores[pos]) for pos in item[held_out & (user == one)]]
    assert np.mean(areas) > 0.8


def test_a_shop_without_novelties_can_be_made() -> None:
    config = SyntheticConfig(n_items=40, n_users=12, new_item_share=0.0, new_user_share=0.0)
    truth = make_truth(Catalogue(config))
    rows = make_interactions(truth, config)
    assert not truth.is_new_item.any()
    assert rows.filter(~pl.col("evaluation"))["user_id"].n_unique() == 12
