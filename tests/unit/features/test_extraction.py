from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError, FeaturesError
from visrec.features.encoding import encode_images
from visrec.features.extraction import extract
from visrec.features.extractor import Extractor, Preparation
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


class OnePixel(Preparation):
    """The mean colour."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((1, 1), Image.Resampling.BOX), dtype=np.float32).reshape(3)


class MeanColor(Extractor):
    """The mean of each channel; counts what it is asked for."""

    name = "mean-color"
    shape = (3,)
    batch_size = 5

    def __init__(self) -> None:
        self.preparation = OnePixel()
        self.encoded = 0

    def provenance(self) -> dict[str, Any]:
        return {
            "extractor": self.name,
            "weights": None,
            "weights_digest": None,
            "transform": "mean",
            "versions": {},
        }

    def encode(self, batch: np.ndarray) -> np.ndarray:
        self.encoded += len(batch)
        return batch


class Interrupted(MeanColor):
    """Is interrupted (Ctrl-C) once it has encoded so many pictures."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def encode(self, batch: np.ndarray) -> np.ndarray:
        if self.encoded >= self.after:
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
        catalog, extractor, standardize=False, n_workers=3, progress=lambda at, n, _: done.append((at, n))
    )
    for index, item in enumerate(catalog.items.values):
        assert features.values[index].tolist() == list(catalog.open(item).getpixel((0, 0)))  # type: ignore[arg-type]
    assert not features.missing.any()
    assert extractor.encoded == 33
    assert done[-1] == (33, 33)
    assert done == sorted(done)


def test_extract_color_standardizes_and_says_so(tmp_path: Path):
    catalog = write_catalog(tmp_path, 12)
    features = extract(catalog)
    raw = extract(catalog, standardize=False)
    assert features.values.tobytes() == raw.standardize().values.tobytes()
    assert features.provenance["steps"] == ["standardize"]
    assert raw.provenance["steps"] == []
    assert features.provenance["extractor"] == "color"
    assert features.finishing.mean is not None
    assert features.raw is not None
    assert np.array_equal(features.raw, raw.values)


def test_the_order_and_names_of_files_play_no_part(tmp_path: Path):
    """An error of the tutorial: vectors in directory order were added to factors in the order of the ids."""
    catalog = write_catalog(tmp_path / "a", 12)
    shuffled = list(range(12))
    random.Random(3).shuffle(shuffled)
    (tmp_path / "b").mkdir()
    paths: list[Path | None] = []
    for index, path in enumerate(catalog.paths):
        assert path is not None
        paths.append(tmp_path / "b" / f"{shuffled[index]:03d}.png")
        shutil.copy(path, tmp_path / "b" / f"{shuffled[index]:03d}.png")
    renamed = Catalog(catalog.items, tuple(paths), catalog.metadata)
    assert extract(renamed, MeanColor()).digest == extract(catalog, MeanColor()).digest


def test_broken_images_are_missing_with_their_reason_and_change_nothing_else(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 25)
    whole = extract(catalog, MeanColor(), standardize=False)
    (tmp_path / "images" / "i003.png").write_bytes(b"")
    (tmp_path / "images" / "i004.png").write_text("<html>")
    (tmp_path / "images" / "i005.png").write_text("<html>")  # the same content: the reason names its own file
    (tmp_path / "images" / "i019.png").unlink()
    paths = list(catalog.paths)
    paths[24] = None
    broken = Catalog(catalog.items, tuple(paths), catalog.metadata)
    for out in (None, tmp_path / "out"):
        features = extract(broken, MeanColor(), standardize=False, out=out)
        assert np.flatnonzero(features.missing).tolist() == [3, 4, 5, 19, 24]
        assert features.failures["item_id"].to_list() == ["i003", "i004", "i005", "i019", "i024"]
        reasons = features.failures["reason"].to_list()
        assert "i003.png: is empty" in reasons[0]
        assert "i004.png: is not a JPEG" in reasons[1]
        assert "i005.png: is not a JPEG" in reasons[2]
        assert "no such file" in reasons[3]
        assert reasons[4] == "no image"
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


def test_progress_counts_each_image_once(tmp_path: Path):
    class Odd(MeanColor):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            batch[0] = np.nan
            return batch

    catalog = write_catalog(tmp_path, 12)
    (tmp_path / "i004.png").write_bytes(b"")
    told: list[tuple[int, int, str]] = []
    features = extract(catalog, Odd(), progress=lambda *one: told.append(one))
    assert features.missing.sum() == 4  # the empty one, and the first of each batch of five, five and one
    assert told[-1][:2] == (12, 12)
    assert told[-1][2].endswith(" images/s, 4 cannot be used")
    assert all(done <= total for done, total, _ in told)


def test_a_path_that_is_no_text_costs_only_the_picture(tmp_path: Path):
    try:
        catalog = write_catalog(tmp_path / "caf\udce9", 3)
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    (tmp_path / "caf\udce9" / "i001.png").write_bytes(b"")
    extract(catalog, MeanColor(), out=tmp_path / "out")
    expected = f"{tmp_path}/caf\\udce9/i001.png: is empty (0 bytes); expected an image."
    assert Features.load(tmp_path / "out").failures.rows() == [("i001", expected)]
    extract(catalog, Interrupted(after=0), out=tmp_path / "out")  # and is recognized


def test_numbers_too_large_for_float16_are_told(tmp_path: Path):
    class Large(MeanColor):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            batch[1] = 70000
            return batch

    features = extract(write_catalog(tmp_path, 5), Large(), dtype="float16", standardize=False)
    assert features.values.dtype == np.float16
    assert features.failures.rows() == [
        ("i001", "mean-color gave numbers that are not finite, or too large for float16")
    ]


def test_a_descriptor_that_fails_on_a_picture_costs_only_that_picture(tmp_path: Path):
    class Picky(OnePixel):
        def __call__(self, image: Image.Image) -> np.ndarray:
            if image.getpixel((0, 0)) == first:
                raise ValueError("I do not like it")
            return super().__call__(image)

    catalog = write_catalog(tmp_path, 5)
    first = catalog.open("i002").getpixel((0, 0))
    extractor = MeanColor()
    extractor.preparation = Picky()
    features = extract(catalog, extractor)
    assert features.failures["item_id"].to_list() == ["i002"]
    assert "Picky failed (ValueError: I do not like it)" in features.failures["reason"][0]


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
    assert not isinstance(memory.values, np.memmap)
    assert disk.digest == memory.digest
    assert disk.provenance == memory.provenance
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]
    assert Features.load(tmp_path / "out").digest == memory.digest


def test_extract_to_the_same_folder_again_does_no_work(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    extract(catalog, MeanColor(), out=tmp_path / "out")
    before = contents(tmp_path / "out")
    extract(catalog, Interrupted(after=0), out=tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]


def test_a_broken_image_is_tried_again_and_nothing_rewritten(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    (tmp_path / "images" / "i004.png").write_text("broken")
    out = tmp_path / "out"
    extract(catalog, MeanColor(), out=out)
    before = (out / "meta.json").stat().st_ino
    extract(catalog, Interrupted(after=0), out=out)
    assert (out / "meta.json").stat().st_ino == before


@pytest.mark.parametrize("steps", [{}, {"standardize": False}, {"pca": 2, "whiten": True, "l2": True}])
def test_a_changed_catalogue_costs_only_what_changed_and_ends_as_if_made_anew(
    tmp_path: Path, steps: dict[str, Any]
):
    images = tmp_path / "images"
    catalog = write_catalog(images, 23)
    out = tmp_path / "out"
    extract(catalog, MeanColor(), out=out, **steps)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(images / "i005.png")  # changed
    Image.new("RGB", (8, 8), (4, 5, 6)).save(images / "i0001.png")  # new, and sorted among the others
    (images / "i007.png").write_bytes((images / "i008.png").read_bytes())  # now as another
    (images / "i010.png").write_text("broken")
    ids = [*catalog.items.values.to_list(), "i0001"]
    ids.remove("i020")
    changed = catalog_of(images, ids)
    second = MeanColor()
    features = extract(changed, second, out=out, **steps)
    assert second.encoded == 2
    assert features.failures["item_id"].to_list() == ["i010"]
    extract(changed, MeanColor(), out=tmp_path / "anew", **steps)
    assert contents(out) == contents(tmp_path / "anew")
    (images / "i010.png").write_bytes((images / "i011.png").read_bytes())  # mended
    third = MeanColor()
    assert not extract(changed, third, out=out, **steps).missing.any()
    assert third.encoded == 0


def test_features_made_partly_with_other_versions_say_so(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 6)
    extract(catalog_of(tmp_path / "images", ["i000", "i001"]), MeanColor(), out=tmp_path / "out")
    newer = MeanColor()
    newer.provenance = lambda: {**MeanColor().provenance(), "versions": {"pillow": "99"}}  # type: ignore[method-assign]
    features = extract(catalog, newer, out=tmp_path / "out")
    assert features.provenance["versions"] == {"pillow": "99"}
    assert features.provenance["partly_made_with"] == [{}]


def test_extract_to_a_folder_of_something_else_says_what_differs(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    out = tmp_path / "out"
    extract(catalog, MeanColor(), out=out)
    before = contents(out)
    with pytest.raises(FeaturesError, match=r"extractor 'mean-color', not 'color'.*another --out"):
        extract(catalog, out=out)
    with pytest.raises(FeaturesError, match=r"steps \['standardize'\], not \[\]"):
        extract(catalog, MeanColor(), out=out, standardize=False)
    other = MeanColor()
    other.provenance = lambda: {**MeanColor().provenance(), "weights": "w.pth", "weights_digest": "ab"}  # type: ignore[method-assign]
    with pytest.raises(FeaturesError, match=r"weights None \(None\), not w\.pth \(ab\)"):
        extract(catalog, other, out=out)
    assert contents(out) == before
    Features.from_array(np.ones((12, 3)), catalog.items.values.to_list()).save(tmp_path / "own")
    with pytest.raises(FeaturesError, match="do not say which images"):
        extract(catalog, MeanColor(), out=tmp_path / "own")


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


@pytest.mark.parametrize("after", [0, 10, 25, 40])
def test_an_interrupted_extraction_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, after: int):
    catalog = write_catalog(tmp_path / "images", 45)
    (tmp_path / "images" / "i013.png").write_text("broken")
    extract(catalog, MeanColor(), out=tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(after), out=out)
    assert not out.exists()
    resumed = MeanColor()
    extract(catalog, resumed, out=out)
    assert resumed.encoded <= 44 - after + 10 + 5 * 4  # a shard begun, and the batches in flight
    assert contents(out) == contents(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("damage", ["json", "cut", "no json"])
def test_damaged_unfinished_work_is_done_again(tmp_path: Path, damage: str):
    catalog = write_catalog(tmp_path / "images", 45)
    extract(catalog, MeanColor(), out=tmp_path / "whole")
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(40), out=out)
    assert len(list(partial.glob("0*.npy"))) >= 2
    if damage == "json":
        (partial / "extraction.json").write_text("{")
    if damage == "cut":
        first = partial / "000000000.npy"
        first.write_bytes(first.read_bytes()[:-4])
    if damage == "no json":
        (partial / "000000000.json").unlink()
    extract(catalog, MeanColor(), out=out)
    assert contents(out) == contents(tmp_path / "whole")


def test_unfinished_work_of_other_settings_is_not_thrown_away(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 45)
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(40), out=tmp_path / "out")
    before = contents(tmp_path / "out.partial")
    with pytest.raises(
        FeaturesError, match=r"unfinished.*extractor 'mean-color', not 'color'.*remove the folder"
    ):
        extract(catalog, "color", out=tmp_path / "out")
    assert contents(tmp_path / "out.partial") == before


def test_settings_of_a_try_that_came_to_nothing_do_not_stand_in_the_way(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(0), out=tmp_path / "out")
    assert len(extract(catalog, "color", out=tmp_path / "out")) == 12


def test_unfinished_work_of_other_versions_is_used_and_told(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 45)
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(40), out=tmp_path / "out")
    newer = MeanColor()
    newer.provenance = lambda: {**MeanColor().provenance(), "versions": {"pillow": "99"}}  # type: ignore[method-assign]
    features = extract(catalog, newer, out=tmp_path / "out")
    assert newer.encoded < 45
    assert features.provenance["partly_made_with"] == [{}]


def test_two_extractions_into_one_folder_do_not_mix(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 12)
    refused: list[str] = []

    class Other(MeanColor):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            if not refused:
                with pytest.raises(FeaturesError, match="another process is extracting into it") as raised:
                    extract(catalog, MeanColor(), out=tmp_path / "out")
                refused.append(str(raised.value))
            return super().encode(batch)

    extract(catalog, Other(), out=tmp_path / "out")
    assert refused
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]  # no lock left


def test_a_full_disk_ends_in_one_message_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    catalog = write_catalog(tmp_path / "images", 45)
    save, written = np.save, 0

    def full(*args: Any, **kwargs: Any) -> None:
        nonlocal written
        written += 1
        if written > 2:
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(FeaturesError, match=r"No space left on device.*the same command goes on"):
        extract(catalog, MeanColor(), out=tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr("visrec.features.extraction.SHARD", 10)
    resumed = MeanColor()
    features = extract(catalog, resumed, out=tmp_path / "out")
    assert resumed.encoded == 25
    assert features.digest == extract(catalog, MeanColor()).digest


def test_an_interruption_cancels_what_waits(tmp_path: Path):
    cancelled: list[bool] = []

    class Pending:
        def __init__(self, batch: np.ndarray) -> None:
            self.batch = batch

        def result(self) -> np.ndarray:
            raise KeyboardInterrupt

        def cancel(self) -> object:
            cancelled.append(True)
            return None

    class Waiting(MeanColor):
        def submit(self, batch: np.ndarray) -> Pending:  # type: ignore[override]
            return Pending(batch)

    with pytest.raises(KeyboardInterrupt):
        extract(write_catalog(tmp_path, 45), Waiting())
    assert len(cancelled) == 3  # one was fetched, three more waited


def test_shards_serve_another_choice_of_steps_and_a_catalogue_that_has_changed(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 45)
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Interrupted(40), out=tmp_path / "out")
    Image.new("RGB", (5, 5)).save(tmp_path / "images" / "i000.png")
    made = MeanColor()
    extract(catalog, made, out=tmp_path / "out", standardize=False)
    assert made.encoded < 45 - 10
    anew = extract(catalog, MeanColor(), standardize=False)
    assert Features.load(tmp_path / "out").digest == anew.digest


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
extraction.extract(catalog_of(Path({images!r}), {ids!r}), Slow(), out={out!r})
"""


def test_a_killed_process_leaves_work_to_go_on_with(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 100)
    whole = tmp_path / "whole"
    extract(catalog, MeanColor(), out=whole)
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    code = KILLED.format(
        tests=str(Path(__file__).parent),
        images=str(tmp_path / "images"),
        ids=catalog.items.values.to_list(),
        out=str(out),
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (partial / "000000002.json").exists():
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
    extract(catalog, resumed, out=out)
    assert resumed.encoded == 100 - 10 * finished
    assert contents(out) == contents(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out", "whole"]


def test_the_number_of_workers_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visrec.features.decoding._WORTH_PROCESSES", 1)
    catalog = write_catalog(tmp_path, 23)
    digests = {extract(catalog, "test_vit", weights="random", n_workers=n).digest for n in (0, 1, 3)}
    assert len(digests) == 1


def test_what_waits_in_memory_is_bounded(tmp_path: Path):
    catalog = write_catalog(tmp_path, 120)
    waiting, most = 0, 0
    lock = threading.Lock()

    class Counted(OnePixel):
        def __call__(self, image: Image.Image) -> np.ndarray:
            nonlocal waiting, most
            with lock:
                waiting += 1
                most = max(most, waiting)
            return super().__call__(image)

    class Slow(MeanColor):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            nonlocal waiting
            time.sleep(0.02)
            with lock:
                waiting -= len(batch)
            return batch

    slow = Slow()
    slow.preparation = Counted()
    extract(catalog, slow)
    # The queue (three batches and the chunk that is begun), the batch being gathered, the threads' own.
    assert most <= 3 * 5 + 4 + 5 + 8 * 4
    assert most < 60


class Words(MeanColor):
    """Learns the mean of its sample, and gives the distance to it."""

    name = "words"
    learns = True

    def __init__(self) -> None:
        super().__init__()
        self.mean: np.ndarray | None = None
        self.learnt_from = 0

    def learn(self, sample: Iterator[np.ndarray]) -> None:
        pictures = list(sample)
        self.learnt_from = len(pictures)
        self.mean = np.mean(pictures, axis=0)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return super().encode(batch) - self.mean  # type: ignore[operator]

    def state(self) -> dict[str, np.ndarray]:
        return {} if self.mean is None else {"mean": self.mean}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.mean = state["mean"]


def test_what_an_extractor_learnt_is_kept_for_images_that_come_later(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 30)
    first, second = Words(), Words()
    few = catalog_of(tmp_path / "images", catalog.items.values.to_list()[:20])
    early = extract(few, first, out=tmp_path / "out", standardize=False)
    assert first.learnt_from == 20
    late = extract(catalog, second, out=tmp_path / "out", standardize=False)
    assert second.learnt_from == 0
    assert second.encoded == 10
    assert np.array_equal(late.values[:20], early.values)
    assert np.array_equal(late.learnt["mean"], early.learnt["mean"])


def test_what_an_extractor_learnt_survives_an_interruption(tmp_path: Path):
    class Stopped(Words):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            if self.encoded >= 20:
                raise KeyboardInterrupt
            return super().encode(batch)

    catalog = write_catalog(tmp_path / "images", 40)
    extract(catalog, Words(), out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        extract(catalog, Stopped(), out=tmp_path / "out")
    resumed = Words()
    extract(catalog, resumed, out=tmp_path / "out")
    assert resumed.learnt_from == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_settings_are_checked(tmp_path: Path):
    catalog = write_catalog(tmp_path, 3)
    with pytest.raises(ConfigError, match="n_workers is -1"):
        extract(catalog, n_workers=-1)
    with pytest.raises(ConfigError, match="float64"):
        extract(catalog, dtype="float64")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'color' has no weights; found 'random'"):
        extract(catalog, "color", weights="random")
    with pytest.raises(ConfigError, match=r"Did you mean color.*visrec extractors"):
        extract(catalog, "colour")
    with pytest.raises(ConfigError, match="whiten needs pca"):
        extract(catalog, whiten=True)
    with pytest.raises(FeaturesError, match="pca is 64, but 3 vectors"):
        extract(catalog, pca=64)


@pytest.mark.parametrize("name", ["color", "lbp+color", "sift", "test_vit+attractiveness"])
def test_new_pictures_are_encoded_as_those_of_the_catalogue(tmp_path: Path, name: str):
    catalog = write_catalog(tmp_path / "images", 12)
    generator = np.random.default_rng(1)
    for path in catalog.paths:
        assert path is not None
        Image.fromarray(generator.integers(0, 256, (70, 60, 3), dtype=np.uint8)).save(path)
    weights = "random" if "vit" in name else "default"
    # 512 columns: the principal components of 4,096 would take half a minute.
    few = {"words": 4} if name == "sift" else {}
    features = extract(catalog, name, weights=weights, pca=4, l2=True, out=tmp_path / "out", **few)
    loaded = Features.load(tmp_path / "out")
    again = encode_images(loaded, [path for path in catalog.paths if path is not None])
    np.testing.assert_allclose(again, features.values, atol=2e-5)
    picture = catalog.open("i003")
    np.testing.assert_allclose(encode_images(loaded, [picture])[0], features.values[3], atol=2e-5)


def test_new_pictures_need_a_named_extractor_and_the_same_weights(tmp_path: Path):
    catalog = write_catalog(tmp_path / "images", 6)
    with pytest.raises(FeaturesError, match="do not say how a new picture"):
        encode_images(extract(catalog, MeanColor()), [])
    features = extract(catalog, "test_vit", weights="random")
    changed = Features(
        features.values,
        features.items,
        features.missing,
        features.failures,
        {**features.provenance, "weights_digest": "other"},
    )
    with pytest.raises(FeaturesError, match="are not those that the features were made with"):
        encode_images(changed, [])


def test_real_posters_of_a_real_network_twice_the_same(tmp_path: Path, shared: Callable[[str], Path]):
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
