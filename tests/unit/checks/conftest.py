"""A data set without a fault, and the means to plant some."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DAY, START = 86_400, 1_600_000_000  # seconds; September 2020
NOW = START + 400 * DAY


def picture(seed: int, size: tuple[int, int] = (48, 64)) -> Image.Image:
    """A picture of its own: coarse and fine noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    return Image.blend(coarse, fine, 0.4)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@dataclass
class Shop:
    """Tables and files that are still to be written."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    files: dict[bytes, bytes] = field(default_factory=dict)
    dangling: list[str] = field(default_factory=list)

    def picture(self, seed: int, size: tuple[int, int] = (48, 64)) -> Image.Image:
        return picture(seed, size)

    def encoded(self, image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        return encoded(image, kind, **options)

    def row(
        self, user: str, item: str, time: object, part: str = "train", rating: object = 5, weight: object = 1
    ) -> None:
        self.rows.append((user, item, time, rating, weight, part))

    def item(self, item: str, data: bytes | None, suffix: str = "jpg") -> None:
        """An item that two people took, early and to learn from; `data` is its file."""
        n = len(self.items)
        self.items.append(item)
        if data is not None:
            self.files[f"{item}.{suffix}".encode()] = data
        for user in ("u00", "u20"):
            self.row(user, item, START + 1000 + n)

    def write(self, folder: Path) -> Path:
        (folder / "images").mkdir(parents=True)
        lines = ["user_id,item_id,timestamp,rating,weight,evaluation"]
        lines += [",".join(map(str, row)) for row in self.rows]
        (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
        (folder / "items.csv").write_text("item_id,title\n" + "".join(f"{item},t\n" for item in self.items))
        for name, data in self.files.items():
            Path(folder.as_posix() + "/images/").joinpath(name.decode(errors="surrogateescape")).write_bytes(
                data
            )
        for name in self.dangling:
            (folder / "images" / name).symlink_to("nowhere.jpg")
        return folder


@cache
def _plain(n: int) -> bytes:
    return encoded(picture(n))


def clean_shop() -> Shop:
    """30 people with 8 interactions each, 120 items taken by two each, of which at least one learns from it."""
    shop = Shop()
    for n in range(120):
        shop.items.append(f"i{n:03d}")
        shop.files[f"i{n:03d}.jpg".encode()] = _plain(n)
    for user in range(30):
        for j in range(8):
            item = (8 * user + j + (3 if user >= 15 else 0)) % 120
            part = {7: "test", 6: "valid"}.get(j, "train")
            shop.row(f"u{user:02d}", f"i{item:03d}", START + j * DAY + user * 2800, part)
    return shop


@pytest.fixture(scope="session")
def make_clean() -> Callable[[], Shop]:
    return clean_shop
