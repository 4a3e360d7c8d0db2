from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError, FeaturesError
from visrec.features.extraction import create_extractor, extract, list_extractors
from visrec.features.features import Features


def write_catalog(folder: Path, n: int, *, side: int = 8) -> Catalog:
    """`n` items i000, i001, …, each with a plain picture of a colour of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    ids = [f"i{index:03d}" for index in range(n)]
    for item in ids:
        color = tuple(generator.integers(0, 256, 3).tolist())
        Image.new("RGB", (side, side), color).save(folder / f"{item}.png")
    return catalog_of(folder, ids)


def catalog_of(folder: Path, ids: list[str]) -> Catalog:
    items = IdMap(ids, kind="item")
    paths = tuple(folder / f"{item}.png" for item in items.values)
    return Catalog(items, paths, pl.DataFrame({"item_id": items.values}))


class MeanColor:
    """The mean of each channel; counts what it is asked for."""

    name = "mean-color"
    dim = 3

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()

    def provenance(self) -> dict[str, Any]:
        return {
            "extractor": self.name,
            "weights": None,
            "weights_digest": None,
            "dim": 3,
            "transform": "mean",
        }

    def prepare(self, image: Image.Image) -> np.ndarray:
        self.threads.add(threading.current_thread().name)
        return np.asarray(image.resize((1, 1), Image.Resampling.BOX), dtype=np.float32).reshape(3)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        self.batches.append(len(batch))
        return batch


class Interrupted(MeanColor):
    """Is interrupted (Ctrl-C) at a certain batch."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def encode(self, batch: np.ndarray) -> np.ndarray:
        if len(self.batches) == self.at:
            raise KeyboardInterrupt
        return super().encode(batch)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visrec.features.extraction.SHARD", 10)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_extract_gives_each_item_the_vector_of_its_own_image(tmp_path: Path):
    catalog = write_catalog(tmp_path, 33)
    done: list[tuple[int, int]] = []
    extractor = MeanColor()
    features = extract(
        catalog, extractor, standardize=False, batch_size=4, n_workers=3, progress=lambda *at: done.append(at)
    )
    for index, item in enumerate(catalog.items.values):
        assert features.values[index].tolist() == list(catalog.open(item).getpixel((0, 0)))  # type: ignore[arg-type]
    assert not features.missing.any()
    assert extractor.batches == [4, 4, 2, 4, 4, 2, 4, 4, 2, 3]  # shards of 10
    assert done[-1] == (33, 33)
    assert [at for at, _ in done] == sorted(at for at, _ in done)
    assert all(name.startswith("visrec-images") for name in extractor.threads)


def test_extract_color_standardizes_and_says_so(tmp_path: Path):
    catalog = write_catalog(tmp_path, 12)
    features = extract(catalog)
    raw = extract(catalog, standardize=False)
    assert features.values.tobytes() == raw.standardize().values.tobytes()
    assert features.provenance["steps"] == ["standardize"]
    assert raw.provenance["steps"] == []
    assert features.provenance["extractor"] == "color"
    assert features.provenance["catalog"] == catalog.digest
    assert features.standardization is not None


def test_broken_images_are_missing_with_their_reason_and_change_nothing_else(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 25)
    whole = extract(catalog, MeanColor(), standardize=False)
    (tmp_path / "images" / "i003.png").write_bytes(b"")
    (tmp_path / "images" / "i004.png").write_text("<html>")
    (tmp_path / "images" / "i019.png").unlink()
    paths = list(catalog.paths)
    paths[24] = None
    broken = Catalog(catalog.items, tuple(paths), catalog.metadata)
    for out in (None, tmp_path / "out"):
        features = extract(broken, MeanColor(), standardize=False, out=out)
        assert np.flatnonzero(features.missing).tolist() == [3, 4, 19, 24]
        assert features.failures["item_id"].to_list() == ["i003", "i004", "i019", "i024"]
        reasons = features.failures["reason"].to_list()
        assert "empty" in reasons[0]
        assert "is not a JPEG" in reasons[1]
        assert "no such file" in reasons[2]
        assert reasons[3] == "no image"
        good = ~features.missing
        assert np.array_equal(features.values[good], whole.values[good])
        assert not features.values[~good].any()
    standard = extract(broken, MeanColor())
    np.testing.assert_allclose(standard.values[~standard.missing].mean(axis=0), 0, atol=1e-6)


def test_vectors_that_are_not_finite_make_the_item_missing(tmp_path: Path):
    class Odd(MeanColor):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            batch[0] = np.nan
            return batch

    features = extract(write_catalog(tmp_path, 5), Odd())
    assert features.failures.rows() == [("i000", "mean-color gave numbers that are not finite")]
    assert np.isfinite(features.values).all()


@pytest.mark.parametrize("to_disk", [True, False])
def test_a_catalogue_without_any_usable_image_is_refused(tmp_path: Path, to_disk: bool):
    catalog = write_catalog(tmp_path / "images", 12)
    for path in catalog.paths:
        assert path is not None
        path.write_bytes(b"no image....")
    out = tmp_path / "out" if to_disk else None
    with pytest.raises(FeaturesError, match=r"None of the 12 items.*i000\.png: is not a JPEG"):
        extract(catalog, MeanColor(), out=out)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    with pytest.raises(FeaturesError, match="no items"):
        extract(catalog_of(tmp_path, []), MeanColor())


def test_extract_to_a_folder_equals_extract_in_memory(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 27)
    memory = extract(catalog, MeanColor())
    disk = extract(catalog, MeanColor(), out=tmp_path / "out")
    assert isinstance(disk.values, np.memmap)
    assert disk.digest == memory.digest
    assert disk.provenance == memory.provenance
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]
    assert Features.load(tmp_path / "out").digest == memory.digest


def test_extract_to_the_same_folder_again_does_no_work(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    first = extract(catalog, MeanColor(), out=tmp_path / "out")
    idle = Interrupted(at=0)
    again = extract(catalog, idle, out=tmp_path / "out", batch_size=3)
    assert again.digest == first.digest


def test_extract_to_a_folder_of_something_else_says_what_differs(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    out = tmp_path / "out"
    extract(catalog, MeanColor(), out=out)
    before = contents(out)
    with pytest.raises(FeaturesError, match=r"extractor 'mean-color', not 'color'.*another --out"):
        extract(catalog, out=out)
    with pytest.raises(FeaturesError, match=r"steps \['standardize'\], not \[\]"):
        extract(catalog, MeanColor(), out=out, standardize=False)
    fewer = catalog_of(tmp_path / "images", catalog.items.values.to_list()[:5])
    with pytest.raises(FeaturesError, match="of another catalogue"):
        extract(fewer, MeanColor(), out=out)
    other = MeanColor()
    other.provenance = lambda: {**MeanColor().provenance(), "weights": "w.pth", "weights_digest": "ab"}  # type: ignore[method-assign]
    with pytest.raises(FeaturesError, match=r"weights None \(None\), not w\.pth \(ab\)"):
        extract(catalog, other, out=out)
    assert contents(out) == before


def test_extract_never_replaces_what_is_no_features(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    with pytest.raises(FeaturesError, match=r"holds no meta\.json.*another --out"):
        extract(catalog, MeanColor(), out=tmp_path / "images")
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FeaturesError, match="another --out"):
        extract(catalog, MeanColor(), out=tmp_path / "file")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.txt").write_text("precious")
    with pytest.raises(FeaturesError, match=r"out\.partial: is not an unfinished extraction"):
        extract(catalog, MeanColor(), out=tmp_path / "out")
    assert (tmp_path / "out.partial" / "thesis.txt").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    assert len(extract(catalog, MeanColor(), out=tmp_path / "empty")) == 12


@pytest.mark.parametrize("at", [0, 3, 5, 8])
def test_an_interrupted_extraction_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, at: int):
    catalog = write_catalog(tmp_path / "images", 45)
    (tmp_path / "images" / "i013.png").write_text("broken")
    extract(catalog, MeanColor(), out=tmp_path / "whole", batch_size=5)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(at), out=out, batch_size=5)
    assert not out.exists()
    resumed = MeanColor()
    extract(catalog, resumed, out=out, batch_size=5)
    assert len(resumed.batches) == 9 - at // 2 * 2  # two batches a shard: whole shards are not done again
    assert contents(out) == contents(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


def test_unfinished_work_of_another_extraction_is_thrown_away(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 45)
    whole = extract(catalog, MeanColor(), batch_size=5)
    out = tmp_path / "out"
    for change in ("batch", "images", "json", "shard"):
        shutil.rmtree(out, ignore_errors=True)
        with pytest.raises(KeyboardInterrupt):
            extract(catalog, Interrupted(4), out=out, batch_size=6 if change == "batch" else 5)
        if change == "images":
            Image.new("RGB", (500, 30)).save(tmp_path / "images" / "i044.png")
            whole = extract(
                catalog_of(tmp_path / "images", catalog.items.values.to_list()), MeanColor(), batch_size=5
            )
            catalog = catalog_of(tmp_path / "images", catalog.items.values.to_list())
        if change == "json":
            (tmp_path / "out.partial" / "extraction.json").write_text("{")
        if change == "shard":
            (tmp_path / "out.partial" / "000000000.npy").write_bytes(b"\x93NUMPY")
        made = MeanColor()
        assert extract(catalog, made, out=out, batch_size=5).digest == whole.digest
        assert len(made.batches) == (7 if change == "shard" else 9)


def test_shards_serve_another_choice_of_steps(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 45)
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(4), out=tmp_path / "out", batch_size=5)
    made = MeanColor()
    extract(catalog, made, out=tmp_path / "out", batch_size=5, standardize=False)
    assert len(made.batches) == 5


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import visrec.features.extraction as extraction
from test_extraction import MeanColor, catalog_of
from pathlib import Path

class Slow(MeanColor):
    def encode(self, batch):
        time.sleep(0.02)
        return super().encode(batch)

extraction.SHARD = 10
extraction.extract(catalog_of(Path({images!r}), {ids!r}), Slow(), out={out!r}, batch_size=5)
"""


def test_a_killed_process_leaves_work_to_go_on_with(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 100)
    whole = tmp_path / "whole"
    extract(catalog, MeanColor(), out=whole, batch_size=5)
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    code = KILLED.format(
        tests=str(Path(__file__).parent),
        images=str(tmp_path / "images"),
        ids=catalog.items.values.to_list(),
        out=str(out),
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (partial / "000000020.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    finished = len(list(partial.glob("0*.json")))
    assert 3 <= finished < 10
    (tmp_path / ".out.0123abcd.tmp").mkdir()  # what a kill during the last step leaves
    resumed = MeanColor()
    extract(catalog, resumed, out=out, batch_size=5)
    assert len(resumed.batches) == 2 * (10 - finished)
    assert contents(out) == contents(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out", "whole"]


def test_the_number_of_workers_changes_no_byte(tmp_path: Path):
    catalog = write_catalog(tmp_path, 23)
    digests = {extract(catalog, "test_vit", weights="random", n_workers=n).digest for n in (1, 4)}
    assert len(digests) == 1


def test_what_waits_in_memory_is_bounded(tmp_path: Path):
    catalog = write_catalog(tmp_path, 60)
    waiting, most = 0, 0
    lock = threading.Lock()

    class Counting(MeanColor):
        def prepare(self, image: Image.Image) -> np.ndarray:
            nonlocal waiting, most
            with lock:
                waiting += 1
                most = max(most, waiting)
            return super().prepare(image)

        def encode(self, batch: np.ndarray) -> np.ndarray:
            nonlocal waiting
            time.sleep(0.02)
            with lock:
                waiting -= len(batch)
            return batch

    extract(catalog, Counting(), batch_size=4, n_workers=2)
    assert most <= 2 * 4 + 2 + 1 + 4  # the queue, and the batch being gathered


def test_settings_are_checked(tmp_path: Path):
    catalog = write_catalog(tmp_path, 3)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        extract(catalog, batch_size=0)
    with pytest.raises(ConfigError, match="n_workers 0"):
        extract(catalog, n_workers=0)
    with pytest.raises(ConfigError, match=r"'color' has no weights; found 'random'"):
        extract(catalog, "color", weights="random")
    with pytest.raises(ConfigError, match=r"Did you mean color.*visrec extractors"):
        extract(catalog, "colour")


def test_list_extractors_names_what_create_extractor_takes():
    infos = list_extractors()
    names = [info.name for info in infos]
    assert len(set(names)) == len(names) > 1300
    by_name = {info.name: info for info in infos}
    assert by_name["color"].source == "visrec"
    assert by_name["color"].dim == 384
    assert not by_name["color"].needs_weights
    assert by_name["resnet50"].source == "torchvision"
    assert by_name["timm:resnet50"].source == "timm"
    assert by_name["vit_base_patch16_224"].needs_weights
    assert create_extractor("test_vit", weights="random").dim > 0


def test_real_posters_of_a_real_network_twice_the_same(
    tmp_path: Path, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    weights = shared("weights/squeezenet1_0.safetensors")
    folder = shared("data/movielens-posters/images")
    paths = sorted(folder.glob("*.jpg"))[:6]
    items = IdMap([path.stem for path in paths], kind="item")
    by_id = {path.stem: path for path in paths}
    catalog = Catalog(
        items, tuple(by_id[one] for one in items.values), pl.DataFrame({"item_id": items.values})
    )
    for name in ("one", "two"):
        features = extract(catalog, "squeezenet1_0", weights=weights, out=tmp_path / name)
        assert features.values.shape == (6, 512)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
