"""What there is to know of one image file, from one reading and one decoding of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visrec.data.images import loaded, opened, orientation_of, to_rgb, upright
from visrec.errors import ImageError
from visrec.features.decoding import prepared
from visrec.features.extractor import Preparation

if TYPE_CHECKING:
    from PIL import Image

SIGNATURE = 12
"""Side of the small copy by which two pictures are compared."""
_LEAST_SIDE = 64  # pixels down to which a JPEG is decoded reduced: enough for all that is looked at
_HEAD, _DEPTH = 32, 24  # bytes read, and which of them is a PNG's depth
_HASH_SIDE, _HASH_KEPT = 32, 8
_ONE_COLOUR = 6  # levels of 255 between the extremes of each channel: what JPEG makes of a plain area
_WORTH_REPORTING = 32  # pictures between two reports of progress


@dataclass(frozen=True)
class ImageFacts:
    """One image file.

    Attributes:
        problem: why there is no picture, a `kind` of `ImageError`; "" where there is one.
        reason: the same as a sentence.
        digest: SHA-256 (hex) of its bytes; "" where it could not be read.
        format: "JPEG", "PNG", "WEBP" or "GIF", by content.
        mode: Pillow's, as it stands in the file: "RGB", "L", "CMYK", "P", "RGBA", …
        deep: whether it has 16 bits a channel.
        width: pixels, in the file.
        height: pixels, in the file.
        orientation: of EXIF, 1 … 8; 1 is upright.
        animated: whether it has several frames.
        transparent: whether any of it is seen through.
        blank: whether it is one colour.
        hash: 64 bits, see `perceptual_hash`.
        signature: `(SIGNATURE, SIGNATURE, 3)` bytes in hex: the picture, very small.
    """

    problem: str = ""
    reason: str = ""
    digest: str = ""
    format: str = ""
    mode: str = ""
    deep: bool = False
    width: int = 0
    height: int = 0
    orientation: int = 1
    animated: bool = False
    transparent: bool = False
    blank: bool = False
    hash: int = 0
    signature: str = ""


def inspect(path: str | Path) -> ImageFacts:
    """Look at one file. Never raises for what the file is."""
    path, digest = Path(path), ""
    try:
        with opened(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            head = file.read(_HEAD)
            is_deep = head.startswith(b"\x89PNG") and head[_DEPTH : _DEPTH + 1] == b"\x10"
            file.seek(0)
            with loaded(path, file, least_side=_LEAST_SIDE) as (image, size):
                animated = bool(getattr(image, "is_animated", False))
                transparent = image.has_transparency_data and _is_seen_through(image)
                small = upright(to_rgb(image), orientation_of(image))
                return ImageFacts(
                    digest=digest,
                    format="JPEG" if image.format == "MPO" else str(image.format),
                    mode=image.mode,
                    deep=is_deep,
                    width=size[0],
                    height=size[1],
                    orientation=orientation_of(image),
                    animated=animated,
                    transparent=transparent,
                    blank=_is_blank(small),
                    hash=perceptual_hash(small),
                    signature=_signature(small),
                )
    except ImageError as error:
        return ImageFacts(problem=error.kind, reason=str(error), digest=digest)


class Inspecting(Preparation):
    """`inspect`, as worker processes do it: the facts as JSON in an array of bytes."""

    def of_file(self, path: Path) -> np.ndarray:
        """The facts of a file, whatever is in it."""
        return np.frombuffer(json.dumps(asdict(inspect(path))).encode(), dtype=np.uint8)


def inspect_all(
    paths: Sequence[Path],
    *,
    n_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[ImageFacts]:
    """Look at many files, in their order.

    Args:
        paths: the files.
        n_workers: processes; 0: threads of this process; None: one a core, at most 8.
        progress: called as `progress(done, total, note)`.
    """
    n_workers = min(os.cpu_count() or 1, 8) if n_workers is None else n_workers
    for done, found in enumerate(prepared(Inspecting(), paths, n_workers=n_workers, ahead=256), 1):
        if progress and (done % _WORTH_REPORTING == 0 or done == len(paths)):
            progress(done, len(paths), "")
        if isinstance(found, str):  # the process that looked at it ended
            yield ImageFacts(problem="damaged", reason=found)
        else:
            yield ImageFacts(**json.loads(found.tobytes()))


def perceptual_hash(image: Image.Image) -> int:
    """64 bits that hardly change when a picture is scaled, compressed again or brightened.

    The signs of the low frequencies of a 32 x 32 grey copy (cosine transform) against their median, the mean
    brightness left out. Half of the bits are set in any picture, so that pictures on white ground differ too.

    Source: Zauner 2010, Implementation and benchmarking of perceptual image hash functions, section 3.2.1.
    """
    grey = image.convert("L").resize((_HASH_SIDE, _HASH_SIDE), _smooth())
    basis = _cosines()  # (8, 32)
    low = basis @ np.asarray(grey, dtype=np.float64) @ basis.T  # (8, 8)
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _cosines() -> np.ndarray:
    """`(8, 32)`: the lowest frequencies above 0 of the cosine transform (DCT-II)."""
    place = (2 * np.arange(_HASH_SIDE) + 1) * np.pi / (2 * _HASH_SIDE)
    return np.cos(np.outer(np.arange(1, _HASH_KEPT + 1), place))


def _signature(image: Image.Image) -> str:
    return image.resize((SIGNATURE, SIGNATURE), _smooth()).tobytes().hex()


def _smooth() -> Image.Resampling:
    from PIL import Image

    return Image.Resampling.BILINEAR  # as wide as the reduction asks: a box would jump by whole pixels


def _is_blank(image: Image.Image) -> bool:
    extremes = np.asarray(image.getextrema())  # (3, 2)
    return bool((np.diff(extremes) <= _ONE_COLOUR).all())


def _is_seen_through(image: Image.Image) -> bool:
    """Whether an image with transparency uses it."""
    return bool(np.asarray(image.convert("RGBA").getchannel("A").getextrema()).min() < 255)
