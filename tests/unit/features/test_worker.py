from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visrec.features.combination import Preparations
from visrec.features.extractor import Preparation
from visrec.features.handcrafted.attractiveness import Attractiveness
from visrec.features.handcrafted.color import Color
from visrec.features.handcrafted.hog import HOG
from visrec.features.handcrafted.lbp import LBP
from visrec.features.handcrafted.sift import SIFT, Keypoints
from visrec.features.transform import Transform
from visrec.features.worker import READY, made_from, prepare, read_answer, target_of, write_answer

TRANSFORM = Transform(resize=(20, 30), fit="cover", interpolation="bicubic", crop=(16, 24), fill=(1, 2, 3))
PREPARATIONS: list[Preparation] = [
    TRANSFORM,
    Transform(crop=(5, 5)),
    *(kind().preparation for kind in (Color, LBP, HOG, SIFT, Attractiveness)),
    Keypoints(words=7, encoding="bow", contrast=0.01),
    Preparations(parts=(target_of(TRANSFORM), target_of(Keypoints(side=40)))),
]


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))


def written(*answers: np.ndarray | str) -> bytes:
    stream = io.BytesIO()
    for answer in answers:
        write_answer(stream, answer)
    return stream.getvalue()


def reader(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["u1", "i8", "f2", "f4", ">f4", "f8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (4, 6, 3)])
def test_arrays_arrive_as_they_were_sent(dtype: str, shape: tuple[int, ...]):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    stream = reader(written(array, "between", array.T))
    for expected in (array, "between", array.T):
        found = read_answer(stream)
        if isinstance(expected, str):
            assert found == expected
            continue
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (np.dtype(dtype), expected.shape)
        assert np.array_equal(found, expected)
        assert found.flags.writeable
    assert read_answer(stream) is None


@pytest.mark.parametrize(
    "reason", ["", "Größe 図書 – a\nb", "/a b/caf\udce9.jpg: is empty", '{"dtype": "x"}']
)
def test_reasons_arrive_whatever_signs_they_hold(reason: str):
    assert read_answer(reader(written(reason))) == reason


@pytest.mark.parametrize("answer", [np.arange(12, dtype=np.float32), "a reason"])
def test_a_stream_that_is_cut_short_gives_no_answer(answer: np.ndarray | str):
    whole = written(answer)
    for length in range(len(whole)):
        assert read_answer(reader(whole[:length])) is None, length
    assert read_answer(reader(whole)) is not None


def test_text_is_no_answer():
    assert read_answer(reader(b"Hello, I am not an answer.\n")) is None


@pytest.mark.parametrize("preparation", PREPARATIONS, ids=lambda one: type(one).__name__)
def test_a_preparation_is_made_again_from_json(preparation: Preparation):
    again = made_from(json.loads(json.dumps(target_of(preparation))))
    assert type(again) is type(preparation)
    assert again == preparation
    assert again.least_side == preparation.least_side
    expected = preparation(picture())
    found = again(picture())
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


def test_an_error_of_any_kind_becomes_a_reason(tmp_path: Path):
    class Picky(Preparation):
        def __call__(self, image: Image.Image) -> np.ndarray:
            import cv2

            return cv2.resize(np.asarray(image), (0, 0))  # cv2.error is a plain Exception

    picture().save(tmp_path / "a.png")
    reason = prepare(Picky(), tmp_path / "a.png")
    assert isinstance(reason, str)
    assert reason.startswith(f"{tmp_path / 'a.png'}: Picky failed (error: OpenCV")


def test_the_process_answers_each_path_whatever_its_name(tmp_path: Path):
    names = ["a b.png", " ü – 図書.png", "line\nbreak.png", 'quo"te\\.png', "caf\udce9.png"]
    paths = []
    for name in names:
        path = tmp_path / name
        try:
            path.touch()
        except OSError:  # this file system refuses names that are not UTF-8
            continue
        with path.open("wb") as file:
            picture().save(file, "PNG")
        paths.append(path)
    paths.append(tmp_path / "missing ä.png")
    lines = [json.dumps(target_of(TRANSFORM)), *(json.dumps(os.fspath(path)) for path in paths)]
    done = subprocess.run(
        [sys.executable, "-m", "visrec.features.worker"],
        input="\n".join([*lines, ""]).encode(),
        capture_output=True,
        check=True,
    )
    stream = reader(done.stdout)
    assert read_answer(stream) == READY
    for _ in paths[:-1]:
        assert np.array_equal(read_answer(stream), TRANSFORM(picture()))  # type: ignore[arg-type]
    assert read_answer(stream) == f"{paths[-1]}: no such file."
    assert read_answer(stream) is None
    assert done.stderr == b""


def test_no_process_loads_torch(tmp_path: Path):
    """It would take seconds to start, and hundreds of megabytes in each."""
    picture().save(tmp_path / "a.png")
    code = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from visrec.features.worker import made_from, prepare\n"
        "for found in json.load(sys.stdin):\n"
        f"    assert not isinstance(prepare(made_from(found), Path({str(tmp_path / 'a.png')!r})), str), found\n"
        "heavy = {'torch', 'torchvision', 'timm', 'polars', 'scipy.stats', 'onnxruntime'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    given = json.dumps([target_of(one) for one in PREPARATIONS])
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
