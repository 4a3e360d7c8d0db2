"""Pictures from strangers are decoded or refused, each for its reason, and leave nothing behind."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from PIL import Image

from visrec.serving import problems
from visrec.serving.decoding import Decoders
from visrec.serving.kept import KeptPictures
from visrec.serving.problems import ProblemError
from visrec.serving.security import Surface, protect
from visrec.serving.settings import ServiceSettings
from visrec.serving.uploads import Uploads

_SPEC = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
hostile: Any = importlib.util.module_from_spec(_SPEC)  # type: ignore[arg-type]
_SPEC.loader.exec_module(hostile)  # type: ignore[union-attr]

SETTINGS = ServiceSettings(
    upload_rate=0,
    decoding_workers=1,
    max_upload_bytes=300_000,
    max_upload_pixels=26_000_000,
    max_uploads=3,
    upload_side=256,
)
TYPE = {"Content-Type": "multipart/form-data; boundary=xyz"}


class Service:
    """A client of an app that reads forms, and the reasons of its refusals."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.reasons: list[str] = []
        self.uploads = Uploads(settings, refused=self.reasons.append)
        app = FastAPI()
        problems.install(app)
        surface = Surface(asking=("/v1/upload",), uploads=("/v1/upload",))
        protect(app, settings, surface=surface, refused=self.reasons.append)

        @app.post("/v1/upload")
        async def upload(request: Request) -> dict[str, Any]:
            form = await self.uploads.read(request)
            return {
                "fields": {name: list(values) for name, values in form.fields.items()},
                "shapes": [list(one.shape) for one in form.pictures],
            }

        self.client = TestClient(app, base_url="http://127.0.0.1")

    def send(self, *pictures: bytes, name: str = "a.jpg", kind: str = "image/jpeg", **fields: Any) -> Any:
        files = [("image", (name, picture, kind)) for picture in pictures]
        return self.client.post("/v1/upload", files=files, data=fields)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    made = Service(SETTINGS)
    yield made
    made.uploads.close()


# Files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_what_is_no_picture_that_we_take_is_refused_for_its_reason(service: Service, name: str) -> None:
    data, status, kind = hostile.REFUSED[name]
    answer = service.send(data)  # by name and type, each is a JPEG
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:visrec:problem:{kind}")
    assert answer.json()["detail"].startswith("The picture: ")
    assert service.reasons[-1] == kind


@pytest.mark.parametrize("name", hostile.SERVED)
def test_pictures_are_told_by_their_content(service: Service, name: str) -> None:
    answer = service.send(
        hostile.SERVED[name], name="../../etc/passwd\0.exe", kind="application/x-msdownload"
    )
    assert answer.status_code == 200, answer.text
    (height, width, channels) = answer.json()["shapes"][0]
    assert max(height, width) <= SETTINGS.upload_side
    assert channels == 3


def test_pictures_come_upright_reduced_and_in_their_order(service: Service) -> None:
    turned, exif = Image.new("RGB", (600, 300)), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif)
    answer = service.send(file.getvalue(), hostile.encoded("PNG", size=(20, 10)), weight=["1", "-1"])
    assert answer.json() == {"fields": {"weight": ["1", "-1"]}, "shapes": [[256, 128, 3], [10, 20, 3]]}


def test_a_picture_of_too_many_bytes_is_refused(service: Service) -> None:
    answer = service.send(hostile.encoded("JPEG") + bytes(300_001))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:visrec:problem:too-large")
    answer = service.send(bytes(299_999) * 5)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:visrec:problem:too-large")


def test_one_bad_picture_among_several_is_named(service: Service) -> None:
    detail = service.send(hostile.encoded("JPEG"), hostile.SVG).json()["detail"]
    assert detail.startswith("Picture 2: is not a JPEG, PNG, WebP or GIF image")


def test_too_many_pictures_are_refused(service: Service) -> None:
    for n in (4, 5, 50):
        answer = service.send(*[hostile.encoded("PNG")] * n)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:visrec:problem:too-many")


# Forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "multipart/form-data"}, hostile.form((hostile.FILE, b"x")), 400),  # no boundary
        ({"Content-Type": "multipart/form-data; boundary="}, hostile.form((hostile.FILE, b"x")), 400),
        ({"Content-Type": f"multipart/form-data; boundary={'b' * 3000}"}, b"", 400),
        (TYPE, b"--other\r\n\r\n", 400),
        (TYPE, hostile.form((b"X-None: 1", b"x")), 400),  # no name
        (TYPE, hostile.form((b'Content-Disposition: form-data; name="a"', b"x" * 70_000)), 400),  # a long field
        (TYPE, hostile.form(*[(b'Content-Disposition: form-data; name="a"', b"x")] * 65), 400),  # many fields
        (TYPE, hostile.form((b"X: " + b"y" * 100_000 + b"\r\n" + hostile.FILE, b"x")), 400),  # a long header
        (TYPE, hostile.form((b"X: y\r\n" * 1000 + hostile.FILE, b"x")), 400),  # many headers
        ({"Content-Type": "image/jpeg"}, hostile.encoded("JPEG"), 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"image=x", 415),
        ({}, b"x", 415),
    ],
)  # fmt: skip
def test_broken_forms_are_refused(
    service: Service, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = service.client.post("/v1/upload", headers=headers, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    assert answer.json()["type"] in {"urn:visrec:problem:bad-form", "urn:visrec:problem:not-a-form"}


@pytest.mark.parametrize("cut", [1, 5, 10, 50, 600])
def test_a_form_that_ends_early_is_refused(service: Service, cut: int) -> None:
    body = hostile.form((hostile.FILE, hostile.encoded("JPEG")))
    answer = service.client.post("/v1/upload", headers=TYPE, content=body[: -cut - len("\r\n")])
    assert (answer.status_code, answer.json()["detail"]) == (400, "The form cannot be read: It ends early.")


def test_a_file_input_left_empty_is_no_picture(service: Service) -> None:
    part = (
        b'Content-Disposition: form-data; name="image"; filename=""\r\nContent-Type: application/octet-stream'
    )
    answer = service.client.post("/v1/upload", headers=TYPE, content=hostile.form((part, b"")))
    assert answer.json() == {"fields": {}, "shapes": []}


def test_a_body_that_never_ends_is_given_up() -> None:
    settings = SETTINGS.replace(body_seconds=0.3)
    slow = Service(settings)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/upload", "raw_path": b"/v1/upload", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=xyz")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
        "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    begun = time.monotonic()
    asyncio.run(slow.client.app(scope, receive, send))  # type: ignore[arg-type]
    assert time.monotonic() - begun < 5
    assert sent[0]["status"] in {400, 408}  # "x" cannot begin a form: either is a refusal
    slow.uploads.close()


def decoded(decoders: Decoders, data: bytes) -> np.ndarray:
    async def one() -> np.ndarray:
        return await decoders.decode(data)

    return asyncio.run(one())


# Processes ------------------------------------------------------------------------------------------------


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_is_served() -> None:
    decoders = Decoders(SETTINGS.replace(decoding_seconds=30.0))
    assert decoded(decoders, hostile.encoded("PNG")).shape == (30, 40, 3)
    decoders._settings = SETTINGS.replace(decoding_seconds=0.02)  # the process runs already
    with pytest.raises(ProblemError, match=r"takes more than 0\.02 s") as caught:
        decoded(decoders, hostile.png_of_zeros(5000, 5000))
    assert caught.value.problem.status == 422
    decoders._settings = SETTINGS.replace(decoding_seconds=30.0)
    assert decoded(decoders, hostile.encoded("PNG")).shape == (30, 40, 3)
    decoders.close()


def test_a_process_that_dies_is_replaced() -> None:
    decoders = Decoders(SETTINGS)
    decoded(decoders, hostile.encoded("PNG"))
    (worker,) = decoders._workers
    worker.kill()
    worker.wait()
    assert decoded(decoders, hostile.encoded("PNG")).shape == (30, 40, 3)
    assert decoders._workers.isdisjoint({worker})
    decoders.close()


def test_too_many_at_once_are_sent_away_with_a_time_to_come_back() -> None:
    decoders = Decoders(SETTINGS.replace(decoding_waiting=0))

    async def two() -> list[Any]:
        pictures = [decoders.decode(hostile.encoded("PNG")) for _ in range(2)]
        return await asyncio.gather(*pictures, return_exceptions=True)

    served, refused = asyncio.run(two())
    assert served.shape == (30, 40, 3)
    assert refused.problem.status == 503
    assert refused.problem.headers == {"Retry-After": "2"}
    decoders.close()


@pytest.mark.skipif(
    not Path("/proc/self/limits").exists(), reason="the limits of a process are read from /proc"
)
def test_the_process_can_write_no_file_and_take_no_more_memory_than_a_picture_needs() -> None:
    decoders = Decoders(SETTINGS)
    decoded(decoders, hostile.encoded("PNG"))
    (worker,) = decoders._workers
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    found = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert found["Max file size"] == "0"
    assert found["Max core file size"] == "0"
    taken = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    assert int(found["Max address space"]) <= taken + 20 * SETTINGS.max_upload_pixels + (256 << 20)
    decoders.close()


def test_closed_decoders_take_nothing_more() -> None:
    decoders = Decoders(SETTINGS)
    decoders.close()
    with pytest.raises(ProblemError, match="Try again"):
        decoded(decoders, b"")


# Kept pictures --------------------------------------------------------------------------------------------


def test_a_kept_picture_has_a_name_of_its_content_and_no_metadata(tmp_path: Path) -> None:
    kept = KeptPictures(tmp_path / "uploads", ServiceSettings(max_kept_bytes=1 << 20))
    picture = np.full((30, 40, 3), 200, dtype=np.uint8)
    name = kept.keep(picture)
    assert kept.keep(picture) == name
    (file,) = (tmp_path / "uploads").iterdir()
    assert file.name == f"{name}.webp"
    with Image.open(file) as image:
        assert not dict(image.getexif())
    assert np.abs(kept.open(name).astype(int) - picture).max() <= 4
    kept.forget(name)
    with pytest.raises(ProblemError, match="no kept picture"):
        kept.read(name)


@pytest.mark.parametrize(
    "name", ["../experiment.toml", "a" * 63, "A" * 64, "a" * 64 + "\n", "/etc/passwd", ""]
)
def test_no_name_from_a_request_leaves_the_folder(tmp_path: Path, name: str) -> None:
    kept = KeptPictures(tmp_path, ServiceSettings(max_kept_bytes=1))
    for ask in (kept.read, kept.open, kept.forget):
        with pytest.raises(ProblemError, match="no kept picture"):
            ask(name)


def test_kept_pictures_take_bounded_room_also_after_a_restart(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (30, 40, 3), dtype=np.uint8) for _ in range(2)]
    name = KeptPictures(tmp_path, ServiceSettings(max_kept_bytes=1 << 20)).keep(pictures[0])
    size = (tmp_path / f"{name}.webp").stat().st_size
    again = KeptPictures(tmp_path, ServiceSettings(max_kept_bytes=size + 10))
    with pytest.raises(ProblemError, match="no room"):
        again.keep(pictures[1])
    assert again.keep(pictures[0]) == name
