"""`visrec extract` and `visrec similar`, on folders as they come."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from visrec.features.encoding import encode_images
from visrec.features.features import Features

NAMES = [f"p{number:02d}" for number in range(12)]
SPECIAL = "Šaty červené – 図書 1"


def photo(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Blotches of colour, different for each seed, with edges enough for keypoints."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.NEAREST)


def features_of(folder: Path) -> Features:
    return Features.load(folder)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of all files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A data set folder with twelve pictures and nothing else."""
    folder = tmp_path / "my photos"
    (folder / "images").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        photo(seed).save(folder / "images" / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of squeezenet1_1, other than the random ones."""
    from safetensors.torch import save_file

    from visrec.features.architectures import build

    state = build("torchvision", "squeezenet1_1", "random").net.state_dict()
    file = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file({name: (tensor * 1.01).contiguous() for name, tensor in state.items()}, file)
    return file


def zeros_png(side: int) -> bytes:
    """A black PNG of `side` x `side` pixels in a few kilobytes, whole and without a fault."""
    compressor = zlib.compressobj(9)
    rows, n = [], side * (1 + -(-side // 8))  # a byte for the filter, a bit a pixel
    block = bytes(1 << 20)
    once = compressor.compress(block) + compressor.flush(
        zlib.Z_FULL_FLUSH
    )  # header of the stream, first block
    again = compressor.compress(block) + compressor.flush(
        zlib.Z_FULL_FLUSH
    )  # the same however often it comes
    whole, rest = divmod(n, len(block))
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = last.compress(bytes(rest)) + last.flush()
    adler = struct.pack(">I", ((n % 65521) << 16) | 1)  # of n zeros
    rows = [once, *[again] * (whole - 1), end, adler]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", b"".join(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BROKEN = {  # by id
    "empty": "empty.png: is empty (0 bytes); expected an image.",
    "huge": "huge.png: has 40,000 x 40,000 pixels, 1,600 million; at most 179 million are decoded. Save a smaller",
    "text": "text.jpg: is not a JPEG, PNG, WebP or GIF image (it begins with b'<!DOCTYP').",
    "truncated": "truncated.jpg: is cut short or damaged",
}
WHOLE = ["good", "cmyk", "deep", "animated", "rotated", "upright", SPECIAL]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A data set folder of what people have in such folders; no interactions."""
    folder = tmp_path / "found pictures"
    images = folder / "images"
    images.mkdir(parents=True)
    photo(1).save(images / "good.jpg")
    photo(2, (300, 200)).save(images / "truncated.jpg")
    data = (images / "truncated.jpg").read_bytes()
    (images / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (images / "empty.png").touch()
    (images / "text.jpg").write_text("<!DOCTYPE html><title>404</title>")
    (images / "huge.png").write_bytes(zeros_png(40_000))
    photo(3).convert("CMYK").save(images / "cmyk.jpg")
    deep = np.random.default_rng(4).integers(0, 65536, (60, 50), dtype=np.uint16)
    Image.fromarray(deep).save(images / "deep.png")
    photo(5).save(images / "animated.gif", save_all=True, append_images=[photo(6), photo(7)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    photo(8, (400, 300)).save(images / "rotated.jpg", exif=exif, quality=95)
    photo(8, (400, 300)).transpose(Image.Transpose.ROTATE_270).save(images / "upright.jpg", quality=95)
    photo(9).save(images / f"{SPECIAL}.webp")
    return folder


def test_the_huge_picture_is_whole():
    """What makes it unusable is its size alone."""
    data = zeros_png(3000)  # several blocks, as those of the huge one
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        assert (opened.size, opened.mode, opened.getextrema()) == ((3000, 3000), "1", (0, 0))


@pytest.mark.parametrize("words", [["color"], ["squeezenet1_1", "--weights", "random"]])
def test_what_cannot_be_used_in_a_folder_is_told_and_costs_nothing_else(here, broken, words):
    words = ["extract", broken, "--extractor", *words]
    done = here(*words)
    assert f"items: {len(WHOLE) + 4}" in done.stdout
    assert "missing: 4" in done.stdout
    told = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert len(told) == 4
    for line, (item, reason) in zip(told, BROKEN.items(), strict=True):
        assert line.startswith(f"{item}, {broken / 'images'}/{reason}")
    assert "4 cannot be used" in done.stderr
    folder = broken / "features" / words[3]
    made = features_of(folder)
    assert sorted(made.items.values) == sorted([*WHOLE, *BROKEN])
    assert sorted(made.failures["item_id"]) == list(BROKEN)
    raw = dict(zip(made.items.values, made.raw, strict=True))
    assert np.isfinite(made.values).all()
    assert all(raw[item].any() for item in WHOLE)
    assert not any(made.values[made.items.index(item)].any() for item in BROKEN)
    # The camera was held upright: all the same to us.
    twin, other = raw["upright"], raw["good"]
    cosines = [
        float(raw["rotated"] @ one / np.linalg.norm(raw["rotated"]) / np.linalg.norm(one))
        for one in (twin, other)
    ]
    assert cosines[0] > 0.9999
    assert cosines[1] < cosines[0]
    before = contents(folder)
    facts = json.loads(here(*words, "--json").stdout)
    assert contents(folder) == before
    assert facts["missing"] == 4
    assert [one["item_id"] for one in facts["failures"]] == list(BROKEN)


def test_a_folder_in_which_nothing_can_be_used_is_refused(here, broken):
    for name in WHOLE:
        for path in (broken / "images").glob(f"{name}.*"):
            path.unlink()
    done = here("extract", broken, "--extractor", "color", status=2)
    assert "None of the 4 items has an image that can be used; the first: " in done.stderr
    assert not (broken / "features" / "color").exists()
    assert not (broken / "features" / "color.partial").exists()


def test_extract_again_does_nothing_and_a_new_image_costs_only_itself(here, photos, monkeypatch):
    words = ["extract", photos, "--extractor", "color", "--json"]
    out = photos / "features" / "color"
    first = json.loads(here(*words).stdout)
    assert first["out"] == str(out)
    assert (first["items"], first["missing"]) == (12, 0)
    before = contents(out)
    again = here(*words)
    assert json.loads(again.stdout) == first
    assert contents(out) == before
    photo(99).save(photos / "images" / "p055.png")
    decoded = []
    from visrec.features import decoding

    prepare = decoding.prepare
    monkeypatch.setattr(
        decoding, "prepare", lambda how, path: decoded.append(path.name) or prepare(how, path)
    )
    grown = json.loads(here(*words).stdout)
    assert decoded == ["p055.png"]
    assert grown["items"] == 13
    made = features_of(out)
    assert "p055" in made.items.values.to_list()
    anew = json.loads(here(*words, "--out", photos / "anew").stdout)
    assert grown["digest"] == anew["digest"]


def test_other_settings_for_the_same_folder_are_refused(here, photos):
    here("extract", photos, "--extractor", "color")
    before = contents(photos / "features")
    done = here("extract", photos, "--extractor", "color", "--l2", status=2)
    assert "holds other features: steps ['standardize'], not ['standardize', 'l2']" in done.stderr
    assert "--out" in done.stderr
    assert contents(photos / "features") == before


def test_the_options_of_extract_say_what_is_made(here, photos, tmp_path, weights):
    out = tmp_path / "f"
    steps = ["--no-standardize", "--pca", 3, "--l2", "--float16"]
    network = ["--layer", "features.7", "--pool", "max", "--set", "input_size=96", "--precision", "float32"]
    given = ["--weights", f"squeezenet1_1={weights}"]
    facts = json.loads(
        here(
            "extract", photos, "--extractor", "squeezenet1_1+color", *given, *network, *steps, "--out", out, "--json"
        ).stdout
    )  # fmt: skip
    assert (facts["shape"], facts["dtype"]) == ("3", "float16")
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1  # whoever wrote it
    assert facts["steps"] == "pca 3, l2"
    made = features_of(out)
    assert made.values.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(made.values.astype(np.float32), axis=1), 1, atol=2e-3)
    about = made.provenance
    assert about["weights"] == {"squeezenet1_1": "mine.safetensors"}
    assert about["layer"]["squeezenet1_1"] == "features.7, max"
    assert "centre crop 96 x 96" in about["transform"]["squeezenet1_1"]
    # By hand: the largest value of each channel of the eighth module, beside the histograms.
    import torch

    from visrec.features.architectures import build
    from visrec.features.handcrafted.color import ColorHistograms
    from visrec.features.weights import load_weights

    net = build("torchvision", "squeezenet1_1", "random", input_size=96)
    load_weights(net.net, weights)
    images = [Image.open(path).convert("RGB") for path in sorted((photos / "images").iterdir())]
    pixels = np.stack([net.transform(image) for image in images])
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (net.transform.mean, net.transform.std))
    with torch.inference_mode():
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        maps = net.net.eval().features[:8](x)
    expected = np.concatenate(
        [maps.amax(dim=(2, 3)).numpy(), np.stack([ColorHistograms()(image) for image in images])], axis=1
    )
    assert made.raw is not None
    np.testing.assert_allclose(made.raw.astype(np.float32), expected, rtol=2e-3, atol=2e-3)


def test_regions_are_kept_apart(here, photos, tmp_path):
    facts = json.loads(
        here(
            "extract", photos, "--extractor", "squeezenet1_1", "--weights", "random", "--pool", "regions",
            "--set", "input_size=64", "--out", tmp_path / "f", "--json",
        ).stdout
    )  # fmt: skip
    made = features_of(tmp_path / "f")
    assert facts["shape"] == f"{made.n_regions}x512"
    assert made.provenance["grid"] == [3, 3]
    assert made.n_regions == 9
    rows = json.loads(
        here("similar", tmp_path / "f", "--image", photos / "images" / "p04.png", "--json").stdout
    )
    assert rows[0]["item_id"] == "p04"


@pytest.mark.parametrize(
    "words",
    [
        ["color"],
        ["sift", "--set", "words=4", "--no-standardize"],
        ["squeezenet1_1", "--weights", "random", "--pca", 4],
        ["squeezenet1_1+sift", "--weights", "WEIGHTS", "--set", "sift.words=2", "--l2"],
    ],
)
def test_similar_by_features_of_a_folder(here, photos, tmp_path, weights, words):
    words = [str(weights) if word == "WEIGHTS" else word for word in words]
    folder = tmp_path / "f"
    here("extract", photos, "--extractor", *words, "--out", folder)
    made = features_of(folder)
    vectors = made.values.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[NAMES.index("p03")]
    expected = [NAMES[row] for row in np.argsort(-cosines)]
    assert expected[0] == "p03"
    rows = json.loads(here("similar", folder, "--item", "p03", "-k", 5, "--json").stdout)
    assert [row["item_id"] for row in rows] == expected[1:6]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([row["score"] for row in rows], np.sort(cosines)[::-1][1:6], atol=1e-5)
    # A picture that is there already, under another name, elsewhere.
    shutil.copy(photos / "images" / "p03.png", tmp_path / "ein Bild – 図.png")
    rows = json.loads(
        here("similar", folder, "--image", tmp_path / "ein Bild – 図.png", "-k", 6, "--json").stdout
    )
    assert [row["item_id"] for row in rows] == expected[:6]
    assert rows[0]["score"] == pytest.approx(1, abs=1e-4)
    table = here("similar", folder, "--image", tmp_path / "ein Bild – 図.png", "-k", 2).stdout
    assert made.provenance["extractor"] in table
    assert "p03" in table


def test_weights_that_moved_are_given_again(here, photos, tmp_path, weights):
    mine = shutil.copy(weights, tmp_path / "w.safetensors")
    folder = tmp_path / "f"
    here("extract", photos, "--extractor", "squeezenet1_1", "--weights", mine, "--out", folder)
    Path(mine).unlink()
    words = ["similar", folder, "--image", photos / "images" / "p03.png", "--json"]
    assert "w.safetensors: no such file of weights" in here(*words, status=2).stderr
    assert (
        "are not those that the features were made with"
        in here(*words, "--weights", "random", status=2).stderr
    )
    assert json.loads(here(*words, "--weights", weights).stdout)[0]["item_id"] == "p03"


def test_extract_of_no_folder_asks_for_images_alone(here, tmp_path):
    done = here("extract", tmp_path / "nothere", "--extractor", "color", status=2)
    assert "nothere: does not exist; expected a folder with images/ (or images.csv)." in done.stderr


def test_a_warning_of_random_weights_names_what_was_typed_and_suits_the_command_line(here, photos, caplog):
    words = ["--weights", "random", "--set", "input_size=64"]
    here("extract", photos, "--extractor", "dino", *words, "--out", photos / "features" / "d")
    assert "dino has random weights" in caplog.text
    assert "=" not in caplog.text


def test_similar_in_a_run(here, shop, finished, tmp_path):
    picture = next((shop / "images").iterdir())
    rows = json.loads(here("similar", finished, "--image", picture, "-k", 3, "--json").stdout)
    assert rows[0]["item_id"] == picture.stem
    assert all(row["title"] for row in rows)
    run = tmp_path / "run"
    words = ["--extractor", "squeezenet1_1+color", "--weights", "random", "--set", "input_size=64"]
    here("run", shop, "--models", "visrank", *words, "--out", run)
    by_image = json.loads(here("similar", run, "--image", picture, "-k", 4, "--json").stdout)
    by_item = json.loads(here("similar", run, "--item", picture.stem, "-k", 3, "--json").stdout)
    assert [row["item_id"] for row in by_image] == [picture.stem, *(row["item_id"] for row in by_item)]
    found = encode_images(features_of(run / "features"), [picture])
    assert found.shape == (1, 512 + 384)


def test_what_similar_cannot_compare_ends_in_one_line(here, shop, finished, photos, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    here("run", shop, "--models", "popularity", "--out", tmp_path / "bare")
    here(
        "extract",
        photos,
        "--extractor",
        "sift",
        "--no-standardize",
        "--set",
        "words=2",
        "--out",
        tmp_path / "f",
    )
    Image.new("RGB", (80, 80), "red").save(tmp_path / "plain.png")
    (photos / "images" / "p00.png").write_bytes(b"")
    here("extract", photos, "--extractor", "color", "--out", tmp_path / "hole")
    picture = photos / "images" / "p01.png"
    for words, said in (
        ([finished, "--item", "00003", "--image", picture], "Give either --item"),
        ([finished], "Give either --item"),
        ([finished, "--image", tmp_path / "none.jpg"], "none.jpg: no such file"),
        ([finished, "--image", tmp_path], "no such file"),
        ([finished, "--image", tmp_path / "text.jpg"], "text.jpg: is not a JPEG"),
        ([finished, "--image", tmp_path / "empty.png"], "is empty"),
        ([finished, "--image", picture, "--model", "bpr"], "--model goes with a run folder and --item"),
        ([tmp_path / "f", "--item", "p01", "--model", "bpr"], "--model goes with a run folder"),
        ([tmp_path / "f", "--image", tmp_path / "plain.png"], "sift finds nothing in this picture"),
        ([tmp_path / "f", "--item", "q01"], "q01"),
        ([tmp_path / "hole", "--item", "p00"], "Item 'p00' has no features to compare it by"),
        ([tmp_path / "bare", "--image", picture], "has no features; none of its models needed them"),
        ([tmp_path / "bare", "--item", "00003"], "has no features; none of its models needed them"),
        ([photos, "--item", "p01"], f"First: visrec extract {photos} --extractor NAME, then: visrec similar"),
        ([tmp_path / "nowhere", "--item", "p01"], "nowhere: does not exist; expected a run folder"),
        ([picture, "--item", "p01"], "is a file; expected a run folder"),
        (
            [photos / "images", "--item", "p01"],
            "is neither a run folder (visrec run) nor a folder of features",
        ),
    ):
        done = here("similar", *words, status=2)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("visrec: ")
        assert said in lines[0]
        assert done.stdout == ""


def test_weights_that_cannot_be_downloaded_end_in_one_line_that_says_what_to_do(
    here, photos, tmp_path, monkeypatch
):
    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    before = contents(photos)
    for extractor, file, place, where in (
        (
            "squeezenet1_1",
            "squeezenet1_1-b8a52dc0.pth",
            tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth",
            "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        ),
        (
            "color+test_vit",
            "model.safetensors",
            tmp_path / "hub" / "models--timm--test_vit.r160_in1k",
            "https://huggingface.co/timm/test_vit.r160_in1k",
        ),
        (
            "dinov2",
            "The weights of dinov2 (vit_small_patch14_dinov2 of timm), model.safetensors,",
            tmp_path / "hub" / "models--timm--vit_small_patch14_dinov2.lvd142m",
            "https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m",
        ),
    ):
        done = here("extract", photos, "--extractor", extractor, status=2)
        lines = [line for line in done.stderr.splitlines() if line.startswith("visrec: ")]
        assert len(lines) == 1
        for said in (file, str(place), where, "--weights FILE", "--weights random"):
            assert said in lines[0]
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert contents(photos) == before
    assert not (photos / "features").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and photos not in path.parents]


# A pause at each step of progress bounds how far a fast machine gets before it is killed.
KILLED = """
import time
import visrec.features.extraction as extraction
from visrec.data.dataset import load_catalog
extraction.SHARD = 32
pause = lambda done, total, note: time.sleep({pause})
extraction.extract(load_catalog({data!r}), "color", out={out!r}, n_workers=2, progress=pause)
"""


def running(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, owner = stat.read_text().rpartition(") ")[2].split()[:3]
        except OSError:  # it has just gone
            continue
        if int(owner) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
def test_ten_kills_change_no_byte(shared, tmp_path):
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    for path in sorted(shared("data/fashion-photos/images").iterdir())[:3000]:
        (images / path.name).symlink_to(path)
    (images / "broken.jpg").write_bytes(b"broken")
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    code = KILLED.format(data=str(tmp_path / "data"), out=str(out), pause=0.05)
    rng = random.Random(0)
    done = 0
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        until = done + rng.randint(0, 5)  # shards; 0: while it looks at the files, or starts
        deadline = time.monotonic() + 60
        while len(list(partial.glob("0*.json"))) < until:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        while running(process.pid):  # its own processes see that nobody asks any more
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not out.exists()
        found = len(list(partial.glob("0*.json")))
        assert found >= done  # nothing is lost
        done = found
    assert done * 32 > 500
    finish = KILLED.format(data=str(tmp_path / "data"), out=str(out), pause=0)
    subprocess.run([sys.executable, "-c", finish], check=True)
    undisturbed = KILLED.format(data=str(tmp_path / "data"), out=str(tmp_path / "undisturbed"), pause=0)
    subprocess.run([sys.executable, "-c", undisturbed], check=True)
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in (tmp_path / "undisturbed").iterdir()}
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes(), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out", "undisturbed"]
    assert features_of(out).failures["item_id"].to_list() == ["broken"]
