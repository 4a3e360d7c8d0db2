from __future__ import annotations

import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visrec.data.dataset import load_catalog
from visrec.errors import FeaturesError
from visrec.features import decoding
from visrec.features.combination import Preparations
from visrec.features.decoding import WorkerProcess, _Crew, importable, prepared
from visrec.features.extraction import extract
from visrec.features.extractor import Preparation
from visrec.features.transform import Transform
from visrec.features.worker import target_of

SIDE = 8
PLAIN = Transform(crop=(SIDE, SIDE))
"""Gives the pixels of a picture of that size as they are."""


def write_pictures(folder: Path, n: int) -> list[Path]:
    """Plain pictures, each of a colour of its own: see `colored`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"p{number:03d}.png" for number in range(n)]
    for number, path in enumerate(paths):
        Image.fromarray(colored(number)).save(path)
    return paths


def colored(number: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), (number, 255 - number, 7), dtype=np.uint8)


@pytest.fixture
def crews(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Crew]]:
    """Processes are used for any number of pictures; all crews that were made."""
    made: list[_Crew] = []

    class Noted(_Crew):
        def __init__(self, preparation: Preparation) -> None:
            super().__init__(preparation)
            made.append(self)

    monkeypatch.setattr(decoding, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr(decoding, "_Crew", Noted)
    yield made
    for crew in made:
        crew.stop()


def has_ended(crew: _Crew) -> bool:
    """Whether its processes are gone and its files given back."""
    streams = [stream for worker in crew._workers for stream in (worker.stdin, worker.stdout)]
    return (
        all(worker.returncode is not None for worker in crew._workers)
        and all(stream is not None and stream.closed for stream in streams)
        and all(worker.said_in.closed for worker in crew._workers)
    )


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("open files are counted on Linux only")
    found = set()
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # that of this very look
            found.add(f"{entry.name} {entry.readlink()}")
    return {one for one in found if "/fd" not in one}


def stopped(crew: _Crew) -> None:
    """Let its processes answer no more, without ending them."""
    for worker in crew._workers:
        worker.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_pictures_come_in_the_order_of_the_paths(tmp_path: Path, crews: list[_Crew], n_workers: int):
    paths = write_pictures(tmp_path, 30)
    # The first takes longest, by far; two cannot be had at all.
    large = np.zeros((2000, 2000, 3), dtype=np.uint8)
    large[996:1004, 996:1004] = colored(0)
    Image.fromarray(large).save(paths[0])
    paths[7].write_bytes(b"")
    paths[29].unlink()
    found = list(prepared(PLAIN, paths, n_workers=n_workers, ahead=12))
    assert len(found) == 30
    for number, one in enumerate(found):
        if number == 7:
            assert one == f"{paths[7]}: is empty (0 bytes); expected an image."
        elif number == 29:
            assert one == f"{paths[29]}: no such file."
        else:
            assert isinstance(one, np.ndarray)
            assert one.dtype == np.uint8
            assert np.array_equal(one, colored(number)), number
    assert len(crews) == (n_workers > 0)
    for crew in crews:
        assert 1 <= len(crew._workers) <= n_workers
        assert has_ended(crew)


def test_few_pictures_are_not_worth_a_process(tmp_path: Path, crews: list[_Crew], monkeypatch):
    monkeypatch.setattr(decoding, "_WORTH_PROCESSES", 13)
    paths = write_pictures(tmp_path, 12)
    assert len(list(prepared(PLAIN, paths, n_workers=2, ahead=4))) == 12
    assert list(prepared(PLAIN, [], n_workers=2, ahead=4)) == []
    assert not crews


def test_a_preparation_that_no_other_process_can_import_runs_in_threads(tmp_path: Path, crews: list[_Crew]):
    class Own(Preparation):
        def __call__(self, image: Image.Image) -> np.ndarray:
            return np.array([threading.get_native_id()])

    assert importable(PLAIN)
    assert not importable(Own())
    both = Preparations(parts=(target_of(PLAIN), target_of(PLAIN)))
    assert importable(both)
    mixed = Preparations(parts=(target_of(PLAIN), target_of(Own())))
    assert not importable(mixed)
    assert not importable(Preparations(parts=(target_of(both), target_of(mixed))))
    found = list(prepared(Own(), write_pictures(tmp_path, 8), n_workers=2, ahead=4))
    assert all(isinstance(one, np.ndarray) for one in found)
    assert not crews


def test_a_picture_that_ends_every_process_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = write_pictures(tmp_path, 4)
    crew = _Crew(PLAIN)
    read = decoding.read_answer

    def fatal(stream: io.BufferedReader) -> np.ndarray | str | None:
        answer = read(stream)
        if isinstance(answer, np.ndarray) and np.array_equal(answer, colored(1)):
            crew._workers[-1].kill()
            return None
        return answer

    monkeypatch.setattr(decoding, "read_answer", fatal)
    try:
        found = crew.prepare(tuple(paths))
        assert (
            found[1] == f"{paths[1]}: decoding it ended the process (status -9), perhaps for want of memory."
        )
        for number in (0, 2, 3):
            assert np.array_equal(found[number], colored(number))
        assert len(crew._workers) == 3  # it was tried twice
        dead = crew._workers[0]
        assert dead.stdin is not None
        assert dead.stdin.closed  # at once: thousands may die
    finally:
        crew.close()
    assert has_ended(crew)


def test_processes_killed_from_outside_cost_nothing(tmp_path: Path, crews: list[_Crew]):
    paths = write_pictures(tmp_path, 40)
    found = []
    with closing(prepared(PLAIN, paths, n_workers=2, ahead=8)) as stream:
        for one in stream:
            if len(found) == 5:
                for worker in list(crews[0]._workers):
                    worker.kill()
            found.append(one)
    for number, one in enumerate(found):
        assert np.array_equal(one, colored(number))
    assert len(found) == 40
    assert len(crews[0]._workers) > 2


def test_a_process_that_cannot_work_at_all_says_why(tmp_path: Path):
    crew = _Crew(PLAIN)
    crew._spec = json.dumps({"target": "visrec.nowhere:Nothing", "settings": {}}).encode() + b"\n"
    try:
        with pytest.raises(
            FeaturesError, match=r"ended with status 1 before(?s:.*)No module named 'visrec\.nowhere'"
        ):
            crew.prepare(tuple(write_pictures(tmp_path, 2)))
    finally:
        crew.close()
    assert has_ended(crew)


PLUGIN = """
import ctypes, os, sys
import numpy as np
from visrec.features.extractor import Preparation

print("imported")

class Odd(Preparation):
    def __call__(self, image):
        first = int(np.asarray(image)[0, 0, 0])
        print("a picture")
        os.system("echo from a child")
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        os.write(1, b"by hand")
        if first in {0, 1, 5}:
            os.write(2, b"free(): invalid pointer")
            os.abort()
        return np.array([first])
"""


def odd(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Preparation:
    """A preparation that prints, and that some pictures end, in a module that workers can import."""
    (folder / "odd_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(decoding, "importable", lambda _: True)
    made: Preparation = importlib.import_module("odd_plugin").Odd()
    return made


@pytest.mark.skipif(sys.platform == "win32", reason="the C library has another name there")
def test_neither_what_a_picture_ends_nor_what_it_prints_stops_the_others(
    tmp_path: Path, crews: list[_Crew], monkeypatch: pytest.MonkeyPatch
):
    paths = write_pictures(tmp_path / "images", 8)
    found = list(prepared(odd(tmp_path, monkeypatch), paths, n_workers=1, ahead=4))
    for number, one in enumerate(found):
        if number in {0, 1, 5}:  # also the very first that a process is given
            assert one == (
                f"{paths[number]}: decoding it ended the process (status -6), perhaps for want of memory."
            )
        else:
            assert np.array_equal(one, [number])
    assert len(found) == 8
    assert has_ended(crews[0])


def test_a_process_that_writes_something_else_than_answers_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding, "_LAST_SECONDS", 0.1)
    worker = WorkerProcess(json.dumps(target_of(PLAIN)).encode() + b"\n")
    assert worker.answer() == "ready"
    assert worker.buried() == (-signal.SIGKILL, "")
    assert worker.said_in.closed


def test_a_process_that_is_ended_at_its_start_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    start, started = _Crew._start, []

    def first_killed(crew: _Crew) -> WorkerProcess:
        started.append(start(crew))
        if len(started) == 1:
            started[0].kill()
        return started[-1]

    monkeypatch.setattr(_Crew, "_start", first_killed)
    crew = _Crew(PLAIN)
    try:
        assert np.array_equal(crew.prepare(tuple(write_pictures(tmp_path, 2)))[1], colored(1))
    finally:
        crew.close()
    assert len(started) == 2


@pytest.mark.parametrize("n_workers", [0, 2])
def test_nothing_is_left_of_a_stream_that_is_closed_early(tmp_path: Path, crews: list[_Crew], n_workers: int):
    paths = write_pictures(tmp_path, 60)
    before = open_files()
    stream = prepared(PLAIN, paths, n_workers=n_workers, ahead=8)
    assert np.array_equal(next(stream), colored(0))
    assert np.array_equal(next(stream), colored(1))
    stream.close()
    assert open_files() == before
    assert all(has_ended(crew) for crew in crews)
    assert not [one for one in threading.enumerate() if one.name.startswith("visrec-images")]


def test_a_stream_whose_processes_hang_can_be_closed(tmp_path: Path, crews: list[_Crew]):
    stream = prepared(PLAIN, write_pictures(tmp_path, 60), n_workers=2, ahead=8)
    next(stream)
    stopped(crews[0])
    closer = threading.Thread(target=stream.close, daemon=True)
    closer.start()
    closer.join(20)
    assert not closer.is_alive()
    assert has_ended(crews[0])


SCRIPT = """
import sys
print("begins")
import visrec.features.decoding as decoding
from visrec.data.dataset import load_catalog
from visrec.features.extraction import extract
decoding._WORTH_PROCESSES = 1
start = decoding._Crew._start
def noted(crew):
    print("a process")
    return start(crew)
decoding._Crew._start = noted
print("digest", extract(load_catalog({data!r}), "color", n_workers=2).digest)
"""


@pytest.mark.parametrize("how", ["file", "stdin"])
def test_a_script_without_a_main_guard_may_use_processes(tmp_path: Path, how: str):
    write_pictures(tmp_path / "data" / "images", 12)
    code = SCRIPT.format(data=str(tmp_path / "data"))
    (tmp_path / "script.py").write_text(code)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if how == "file":  # then the folder that it runs in is not where modules are looked for
        (elsewhere / "random.py").write_text("raise SystemExit('the wrong random')")
    words = [str(tmp_path / "script.py")] if how == "file" else ["-"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=elsewhere,
        input=code if how == "stdin" else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("\n")
    assert said.count("begins") == 1  # the script is not run again in each of them
    assert 1 <= said.count("a process") <= 2
    expected = extract(load_catalog(tmp_path / "data"), "color").digest
    assert f"digest {expected}" in said


def test_an_interrupted_extraction_ends_soon_and_leaves_no_process(tmp_path: Path):
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    Image.new("RGB", (1500, 1500)).save(images / "p000.png")
    picture = (images / "p000.png").read_bytes()  # small as a file, long in decoding
    for number in range(1, 256):
        (images / f"p{number:03d}.png").write_bytes(picture + bytes([number]))  # of a content of its own
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs of a shell may be begun without it
        "import visrec.features.extraction as e\n"
        "from visrec.data.dataset import load_catalog\n"
        "from visrec.features.handcrafted.color import Color\n"
        "e.SHARD = Color.batch_size = 4\n"
        f"e.extract(load_catalog({str(tmp_path / 'data')!r}), out={str(tmp_path / 'out')!r}, n_workers=2)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not list((tmp_path / "out.partial").glob("0*.json")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
