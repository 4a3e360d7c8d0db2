"""Thumbnails are made once, told apart by what they show, and reached by id alone."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.serving import problems, thumbnails
from visrec.serving.pages.rendering import picture_size, picture_url
from visrec.serving.problems import ProblemError
from visrec.serving.shelf import Shelf
from visrec.serving.thumbnails import Thumbnails, thumbnail_routes, thumbnail_url

IDS = ["a/b c", "broken", "gone", "none", "tiny", "turned"]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    folder = tmp_path / "images"
    folder.mkdir()
    items = IdMap(IDS, kind="item")
    wide = np.random.default_rng(0).integers(0, 256, (400, 800, 3), dtype=np.uint8)
    Image.fromarray(wide).save(folder / "a.jpg", quality=90)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    Image.fromarray(wide[:50, :60]).save(folder / "tiny.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(wide).save(folder / "turned.jpg", exif=exif)
    files = {
        "a/b c": "a.jpg",
        "broken": "broken.jpg",
        "gone": "gone.jpg",
        "tiny": "tiny.png",
        "turned": "turned.jpg",
    }
    paths = tuple(folder / files[one] if one in files else None for one in items.written)
    return Catalog(items, paths, pl.DataFrame({"item_id": items.values}))


@pytest.fixture
def made(catalog: Catalog, tmp_path: Path):
    one = Thumbnails(catalog, tmp_path / "thumbnails", sizes=(160, 320, 640))
    yield one
    one.close()


@pytest.fixture
def client(made: Thumbnails) -> TestClient:
    app = FastAPI()
    problems.install(app)
    app.include_router(thumbnail_routes(lambda: made))
    return TestClient(app)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_address_in_a_page_leads_to_a_webp_that_is_kept_for_good(made, client, catalog) -> None:
    item = Shelf(catalog).item(catalog.items.index("a/b c"))
    assert (picture_size(item), item.has_image) == ((800, 400), True)
    address = picture_url(item, 320)
    assert address.startswith("/pictures/320/a%2Fb%20c?v=")
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert opened(answer.content).size == (320, 160)
    assert opened(answer.content).format == "WEBP"


def test_the_longer_side_has_the_size_and_no_picture_is_enlarged(made, client) -> None:
    for item, widths in {"a/b c": [160, 320, 640], "turned": [80, 160, 320], "tiny": [60, 60, 60]}.items():
        for size, width in zip(made.sizes, widths, strict=True):
            assert opened(client.get(thumbnail_url(item, size)).content).width == width


def test_the_shape_is_that_of_the_upright_picture(catalog) -> None:
    assert picture_size(Shelf(catalog).item(catalog.items.index("turned"))) == (400, 800)


def test_a_client_that_has_it_gets_no_second_copy(made, client, catalog) -> None:
    first = client.get(picture_url(Shelf(catalog).item(catalog.items.index("a/b c")), 160))
    tag = first.headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/pictures/160/a/b c", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/pictures/160/a/b c", headers={"If-None-Match": '"other"'}).status_code == 200


def test_without_its_version_it_is_asked_for_again_each_time(client) -> None:
    assert client.get("/pictures/160/a/b c").headers["cache-control"] == "private, no-cache"
    assert client.get("/pictures/160/a/b c?v=older").headers["cache-control"] == "private, no-cache"


def test_head_tells_type_and_length(client) -> None:
    head, got = client.head("/pictures/160/tiny"), client.get("/pictures/160/tiny")
    assert head.status_code == 200
    assert head.headers["content-type"] == "image/webp"
    assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("item", ["none", "gone", "broken"])
def test_an_item_without_a_picture_has_a_placeholder_of_a_known_shape(
    made, client, catalog, item: str
) -> None:
    shown = Shelf(catalog).item(catalog.items.index(item))
    assert picture_size(shown) == (1, 1)
    answer = client.get(picture_url(shown, 160))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["cache-control"] == "private, no-cache"
    assert 'width="400" height="300"' in answer.text


@pytest.mark.parametrize(
    "address",
    [
        "/pictures/160/unknown",
        "/pictures/160/..%2F..%2Fimages%2Fa.jpg",
        "/pictures/160/%2Fetc%2Fpasswd",
        "/pictures/160/a%00",
        "/pictures/161/tiny",
        "/pictures/100000/tiny",
        "/pictures/-1/tiny",
    ],
)
def test_only_items_and_sizes_that_there_are_are_found(client, address: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_it_is_made_once_for_many_that_ask_at_once(made, catalog, tmp_path, monkeypatch) -> None:
    asked: list[Path] = []

    def slow(path: Path, **options: int) -> Image.Image:
        asked.append(path)
        time.sleep(0.1)
        return Image.new("RGB", (400, 300))

    monkeypatch.setattr(thumbnails, "decode", slow)
    index = catalog.items.index("tiny")

    async def many() -> list[bytes | None]:
        return await asyncio.gather(*(made.bytes_of(index, 160) for _ in range(20)))

    found = asyncio.run(many())
    assert len(set(found)) == 1
    assert len(asked) == 1
    asyncio.run(many())
    assert len(asked) == 1, "now it is on disk"
    assert len(files(tmp_path / "thumbnails")) == 1


def test_too_many_cold_ones_are_put_off(catalog, tmp_path, monkeypatch) -> None:
    ready = threading.Event()

    def waits(path: Path, **options: int) -> Image.Image:
        ready.wait(10)
        return Image.new("RGB", (4, 3))

    monkeypatch.setattr(thumbnails, "decode", waits)
    few = Thumbnails(catalog, tmp_path / "few", sizes=(160, 320, 640), n_threads=1, waiting=2)
    index = catalog.items.index("tiny")

    async def three() -> list[object]:
        asked = [asyncio.ensure_future(few.bytes_of(index, size)) for size in few.sizes]
        await asyncio.sleep(0.2)
        ready.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    *served, refused = asyncio.run(three())
    assert all(isinstance(one, bytes) for one in served)
    assert isinstance(refused, ProblemError)
    assert refused.problem.status == 503
    few.close()


def test_a_changed_picture_has_another_address_and_another_thumbnail(made, client, catalog) -> None:
    index = catalog.items.index("tiny")
    item = Shelf(catalog).item(index)
    before = picture_url(item, 160)
    old = client.get(before)
    path = catalog.paths[index]
    Image.new("RGB", (30, 90), "red").save(path)
    os.utime(path, ns=(1, 1))
    after = picture_url(item, 160)
    assert after != before
    assert picture_size(item) == (30, 90)
    new = client.get(after)
    assert new.headers["etag"] != old.headers["etag"]
    assert opened(new.content).size == (30, 90)


def test_thumbnails_carry_nothing_of_the_originals_metadata(made, client) -> None:
    assert not dict(opened(client.get("/pictures/160/turned").content).getexif())


def test_where_nothing_can_be_kept_they_are_made_each_time(catalog, tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("no folder")
    made = Thumbnails(catalog, tmp_path / "file", sizes=(160,))
    for _ in range(2):
        data = asyncio.run(made.bytes_of(catalog.items.index("tiny"), 160))
        assert data is not None
        assert opened(data).size == (60, 50)
    assert caplog.text.count("cannot be kept") == 1
    made.close()
