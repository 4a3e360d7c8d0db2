from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from safetensors.torch import save_file

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError, FeaturesError
from visrec.features.architectures import build
from visrec.features.combination import Combination
from visrec.features.encoding import encode_images
from visrec.features.extraction import extract
from visrec.features.extractor import Extractor, Preparation
from visrec.features.extractors import create_extractor
from visrec.features.handcrafted.attractiveness import Attractiveness
from visrec.features.handcrafted.color import Color
from visrec.features.handcrafted.lbp import LBP
from visrec.features.handcrafted.sift import SIFT
from visrec.features.transform import Transform


def pictures(n: int, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)) for _ in range(n)]


def catalog(folder: Path, n: int) -> Catalog:
    folder.mkdir(exist_ok=True)
    items = IdMap([f"i{index:02d}" for index in range(n)], kind="item")
    paths = tuple(folder / f"{item}.png" for item in items.values)
    for path, picture in zip(paths, pictures(n), strict=True):
        picture.save(path)
    return Catalog(items, paths, pl.DataFrame({"item_id": items.values}))


def prepared(extractor: Extractor, images: list[Image.Image]) -> np.ndarray:
    return np.stack([extractor.preparation(image) for image in images])


def encoded(extractor: Extractor, images: list[Image.Image]) -> np.ndarray:
    return extractor.submit(prepared(extractor, images)).result()


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("name", ["color+lbp", "attractiveness+test_vit+color", "hog+test_resnet"])
def test_a_combination_is_the_vectors_of_its_parts_side_by_side(name: str, n: int):
    weights = "random" if "test_" in name else "default"
    both = create_extractor(name, weights)
    parts = [create_extractor(one, weights if "test_" in one else "default") for one in name.split("+")]
    expected = np.concatenate([encoded(part, pictures(n)) for part in parts], axis=1)
    assert both.shape == (sum(part.dim for part in parts),) == expected.shape[1:]
    found = encoded(both, pictures(n))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert np.array_equal(both.encode(prepared(both, pictures(n))), expected)


def test_a_jpeg_is_reduced_no_further_than_every_part_can_take():
    color, sift = Color(), SIFT(side=300)
    assert (color.preparation.least_side, sift.preparation.least_side) == (264, 600)
    assert Combination([color, sift]).preparation.least_side == 600
    whole = Transform(crop=(8, 8))  # without a resize: a reduction would change what it sees
    assert whole.least_side is None
    assert Combination([color, Seen(whole)]).preparation.least_side is None


def test_a_part_that_gives_regions_is_refused():
    with pytest.raises(ConfigError, match=r"test_vit gives \d+ regions a picture; only vectors.*--pool mean"):
        create_extractor("color+test_vit", "random", pool="regions")


def test_two_parts_of_one_name_are_refused():
    """The provenance, and with it the digest of the weights, goes by the name."""
    with pytest.raises(ConfigError, match=r"Two of the extractors to combine are called 'color'; expected"):
        Combination([Color(), LBP(), Color()])
    with pytest.raises(ConfigError, match=r"are called 'test_vit'"):
        create_extractor("test_vit+timm:test_vit", "random")


def test_cancelling_reaches_every_part():
    class Slow(Color):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name
            self.future: Future[np.ndarray] = Future()

        def submit(self, batch: np.ndarray) -> Future[np.ndarray]:
            return self.future

    parts = [Slow("a"), Slow("b")]
    both = Combination(parts)
    both.submit(prepared(both, pictures(1))).cancel()
    assert all(part.future.cancelled() for part in parts)


def test_provenance_tells_of_each_part():
    both = create_extractor("test_vit+color", "random", layer="blocks.2")
    about = both.provenance()
    assert about["extractor"] == both.name == "test_vit+color"
    assert about["weights"] == {"test_vit": "random"}
    assert about["layer"]["test_vit"] == "blocks.2, mean"
    assert about["dims"] == [64, Color().dim]
    assert about["dim"] == both.dim == 64 + Color().dim
    assert about["options"].keys() == about["transform"].keys() == {"test_vit", "color"}
    assert {"torch", "timm", "pillow", "opencv-python-headless"} <= about["versions"].keys()
    assert Combination([Color(), LBP()]).provenance()["weights_digest"] is None


def test_what_a_part_learnt_is_what_it_learns_alone_and_can_be_restored():
    sample, others = pictures(6), pictures(3, seed=9)
    alone = SIFT(words=4)
    alone.learn(iter(prepared(alone, sample)))
    both = create_extractor("color+sift", words=4)
    assert both.learns
    assert not Combination([Color(), LBP()]).learns
    both.learn(iter(prepared(both, sample)))
    assert list(both.state()) == ["1/words"]
    assert np.array_equal(both.state()["1/words"], alone.state()["words"])
    expected = np.concatenate([encoded(Color(), others), encoded(alone, others)], axis=1)
    assert np.array_equal(encoded(both, others), expected)
    again = create_extractor("color+sift", words=4)
    with pytest.raises(FeaturesError, match="no visual words yet"):
        encoded(again, others)
    again.restore(both.state())
    assert np.array_equal(encoded(again, others), expected)
    assert again.provenance() == both.provenance()


class Seen(Extractor):
    """Gives the first number of each picture; may keep what it is told to learn from."""

    name = "seen"
    shape = (1,)

    def __init__(self, preparation: Preparation, *, learns: bool = False) -> None:
        self.preparation = preparation
        self.learns = learns  # type: ignore[misc]
        self.sample: list[np.ndarray] = []

    def provenance(self) -> dict[str, Any]:
        return {}

    def learn(self, sample: Iterator[np.ndarray]) -> None:
        self.sample = list(sample)


def test_of_the_sample_to_learn_from_only_what_is_learnt_from_is_held():
    small, large = Transform(resize=(4, 4), crop=(4, 4)), Transform(resize=(600, 600), crop=(600, 600))
    learner, network = Seen(small, learns=True), Seen(large)
    network.name = "network"
    both = Combination([network, learner])
    images = pictures(40)
    tracemalloc.start()
    both.learn(both.preparation(image) for image in images)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = 600 * 600 * 3  # bytes of the network's share of one picture
    assert most < 10 * each
    assert np.array_equal(np.stack(learner.sample), np.stack([small(image) for image in images]))
    assert network.sample == []


def test_weights_of_a_part_are_compared_also_where_another_part_learns(tmp_path: Path):
    """The codebook is kept whatever the catalogue has become, but never for a network of other weights."""
    made = build("timm", "test_vit", "random")
    save_file({key: one + 1 for key, one in made.net.state_dict().items()}, tmp_path / "w.safetensors")
    few = catalog(tmp_path / "images", 6)
    words = {"words": 2, "precision": "float32"}
    first = extract(few, "test_vit+sift", weights="random", out=tmp_path / "out", **words)
    more = catalog(tmp_path / "images", 8)
    with pytest.raises(FeaturesError, match=r"holds other features: weights .*random.*w\.safetensors"):
        extract(more, "test_vit+sift", weights=tmp_path / "w.safetensors", out=tmp_path / "out", **words)
    grown = extract(more, "test_vit+sift", weights="random", out=tmp_path / "out", **words)
    assert np.array_equal(grown.raw[:6], first.raw)  # type: ignore[index]
    assert np.array_equal(grown.learnt["1/words"], first.learnt["1/words"])
    again = encode_images(grown, [path for path in more.paths if path is not None])
    np.testing.assert_allclose(again, grown.values, atol=1e-5)


def test_shards_made_with_one_codebook_are_not_used_with_another(tmp_path: Path):
    """Features of six pictures; of eight, interrupted; the features removed: then the codebook is another one."""

    class Stopped(SIFT):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            if len(batch) < 6:
                raise KeyboardInterrupt
            return super().encode(batch)

    few = catalog(tmp_path / "images", 6)
    extract(few, SIFT(words=2), out=tmp_path / "out")
    more = catalog(tmp_path / "images", 14)
    stopped = Stopped(words=2)
    stopped.batch_size = 7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visrec.features.extraction.SHARD", 1)
        patch.setattr("visrec.features.extraction._IN_FLIGHT", 0)
        with pytest.raises(KeyboardInterrupt):
            extract(more, stopped, out=tmp_path / "out")
    assert len(list((tmp_path / "out.partial").glob("0*.npy"))) == 1
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    (tmp_path / "out").rmdir()
    with pytest.raises(FeaturesError, match="unfinished extraction with other settings: weights"):
        extract(more, SIFT(words=2), out=tmp_path / "out")


def test_attractiveness_keeps_its_columns_alone_but_not_among_others():
    assert Attractiveness().columns is not None
    assert Combination([Attractiveness(), Color()]).columns is None
