"""What there is to know of one image file, from one reading and one decoding of it; of many, in columns."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visrec.checks.colours import profile_of
from visrec.data.images import loaded, opened, orientation_of, to_rgb, upright
from visrec.errors import ImageError
from visrec.features.decoding import prepared
from visrec.features.extractor import Preparation

if TYPE_CHECKING:
    from PIL import Image

SIGNATURE = 12
"""Side of the small copy by which two pictures are compared."""
FACTS = np.dtype(
    [
        ("digest", "u1", 32),
        ("signature", "u1", 3 * SIGNATURE**2),
        ("hash", "<u8"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("problem", "S12"),
        ("format", "S8"),
        ("mode", "S8"),
        ("orientation", "u1"),
        ("deep", "?"),
        ("animated", "?"),
        ("transparent", "?"),
        ("blank", "?"),
        ("profile", "?"),
    ]
)
"""A row of facts about one file: the fields of `ImageFacts`, about half a kilobyte."""

_PACKED = struct.Struct("<32s432sQII12s8s8sB?????")  # the same, for one row at a time
_LEAST_SIDE = 64  # pixels down to which a JPEG is decoded reduced: enough for all that is looked at
_AT_ONCE = 1 << 25  # bytes: files up to this are read at once; larger ones twice
_DEPTH = 24  # which byte is a PNG's depth
_HASH_SIDE, _HASH_KEPT = 32, 8
_ONE_COLOUR = 6  # levels of 255 between the extremes of each channel: what JPEG makes of a plain area
_WORTH_REPORTING = 32  # pictures between two reports of progress
_REASONS = 5  # kept of each problem


@dataclass(frozen=True)
class ImageFacts:
    """One image file.

    Attributes:
        digest: SHA-256 of its bytes; b"" where it could not be read.
        signature: `(SIGNATURE, SIGNATURE, 3)` bytes: the picture, very small; b"" where there is none.
        hash: 64 bits, see `perceptual_hash`.
        width: pixels, in the file.
        height: pixels, in the file.
        problem: why there is no picture, a `kind` of `ImageError`; "" where there is one.
        format: "JPEG", "PNG", "WEBP" or "GIF", by content.
        mode: Pillow's, as it stands in the file: "RGB", "L", "CMYK", "P", "RGBA", …
        orientation: of EXIF, 1 … 8; 1 is upright.
        deep: whether it has 16 bits a channel.
        animated: whether it has several frames.
        transparent: whether any of it is seen through.
        blank: whether it is one colour.
        profile: whether a colour profile says that its numbers mean other colours than sRGB.
        reason: the problem as a sentence.
    """

    digest: bytes = b""
    signature: bytes = b""
    hash: int = 0
    width: int = 0
    height: int = 0
    problem: str = ""
    format: str = ""
    mode: str = ""
    orientation: int = 1
    deep: bool = False
    animated: bool = False
    transparent: bool = False
    blank: bool = False
    profile: bool = False
    reason: str = ""

    def packed(self) -> bytes:
        """A row of `FACTS`, and behind it the reason."""
        *fields, reason = (
            one.encode(errors="surrogateescape") if isinstance(one, str) else one for one in astuple(self)
        )
        return _PACKED.pack(*fields) + reason


@dataclass(frozen=True, eq=False)
class Inspected:
    """What was seen of many files.

    Attributes:
        facts: `(n,)` of `FACTS`.
        reasons: the problems of the first few files of each kind as sentences, by place.
    """

    facts: np.ndarray
    reasons: Mapping[int, str]

    def whole(self) -> np.ndarray:
        """`(n,)` whether there is a picture."""
        found: np.ndarray = self.facts["problem"] == b""
        return found

    def of(self, place: int) -> ImageFacts:
        """What was seen of one file."""
        row = self.facts[place]
        values = {name: row[name].item() for name in FACTS.names[2:]}  # type: ignore[index]
        words = {name: values.pop(name).decode() for name in ("problem", "format", "mode")}
        return ImageFacts(
            digest=row["digest"].tobytes() if row["digest"].any() else b"",
            signature=b"" if words["problem"] else row["signature"].tobytes(),
            reason=self.reasons.get(place, ""),
            **words,
            **values,
        )


def inspect(path: str | Path) -> ImageFacts:
    """Look at one file. Never raises for what the file is."""
    path, digest = Path(path), b""
    try:
        with opened(path) as file, _at_hand(file) as source:
            digest = hashlib.file_digest(source, "sha256").digest()
            source.seek(0)
            head = source.read(_DEPTH + 1)
            source.seek(0)
            is_deep = head.startswith(b"\x89PNG") and head[_DEPTH:] == b"\x10"
            with loaded(path, source, least_side=_LEAST_SIDE) as (image, size):
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
                    profile=bool(profile_of(image)),
                    hash=perceptual_hash(small),
                    signature=small.resize((SIGNATURE, SIGNATURE), _smooth()).tobytes(),
                )
    except ImageError as error:
        return ImageFacts(problem=error.kind, reason=str(error), digest=digest)


def _at_hand(file: io.BufferedReader) -> io.BytesIO | io.BufferedReader:
    """What is in a file, read once where it is not large."""
    is_small = os.fstat(file.fileno()).st_size <= _AT_ONCE
    return io.BytesIO(file.read()) if is_small else file


class Inspecting(Preparation):
    """`inspect`, as worker processes do it: the facts packed into an array of bytes."""

    def of_file(self, path: Path) -> np.ndarray:
        """The facts of a file, whatever is in it."""
        return np.frombuffer(inspect(path).packed(), dtype=np.uint8)


def inspect_all(
    paths: Sequence[Path],
    *,
    n_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Inspected:
    """Look at many files, in their order.

    Args:
        paths: the files.
        n_workers: processes; 0: threads of this process; None: one a core, at most 8.
        progress: called as `progress(done, total, note)`.
    """
    n_workers = min(os.cpu_count() or 1, 8) if n_workers is None else n_workers
    facts = np.zeros(len(paths), dtype=FACTS)
    reasons: dict[int, str] = {}
    seen: dict[bytes, int] = {}
    for place, found in enumerate(prepared(Inspecting(), paths, n_workers=n_workers, ahead=256)):
        # A text is what is left where the process that looked at it ended.
        row = (
            ImageFacts(problem="damaged", reason=found).packed()
            if isinstance(found, str)
            else found.tobytes()
        )
        facts[place] = np.frombuffer(row, dtype=FACTS, count=1)[0]
        if len(row) > FACTS.itemsize:
            problem = bytes(facts["problem"][place])
            seen[problem] = seen.get(problem, 0) + 1
            if seen[problem] <= _REASONS:
                reasons[place] = row[FACTS.itemsize :].decode(errors="surrogateescape")
        if progress and ((place + 1) % _WORTH_REPORTING == 0 or place + 1 == len(paths)):
            progress(place + 1, len(paths), "pictures")
    return Inspected(facts, reasons)


def perceptual_hash(image: Image.Image) -> int:
    """64 bits that hardly change when a picture is scaled, compressed again or brightened.

    The signs of the low frequencies of a 32 x 32 grey copy (cosine transform) against their median, the mean
    brightness left out. Half of the bits are set in any picture, so that pictures on white ground differ too.

    Source: Zauner 2010, Implementation and benchmarking of perceptual image hash functions, section 3.2.1.
    """
    grey = image.convert("L").resize((_HASH_SIDE, _HASH_SIDE), _smooth())
    basis = _cosines()  # (8, 32)
    low = (basis @ np.asarray(grey, dtype=np.float64) @ basis.T).ravel()  # (64,)
    middle = np.sort(low)[31:33].sum() / 2  # np.median takes several times as long for so few
    return int.from_bytes(np.packbits(low > middle).tobytes(), "big")


@cache
def _cosines() -> np.ndarray:
    """`(8, 32)`: the lowest frequencies above 0 of the cosine transform (DCT-II)."""
    place = (2 * np.arange(_HASH_SIDE) + 1) * np.pi / (2 * _HASH_SIDE)
    return np.cos(np.outer(np.arange(1, _HASH_KEPT + 1), place))


def _smooth() -> Image.Resampling:
    from PIL import Image

    return Image.Resampling.BILINEAR  # as wide as the reduction asks: a box would jump by whole pixels


def _is_blank(image: Image.Image) -> bool:
    return all(high - low <= _ONE_COLOUR for low, high in image.getextrema())  # type: ignore[misc]


def _is_seen_through(image: Image.Image) -> bool:
    """Whether an image with transparency uses it."""
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(low < 255)  # type: ignore[operator]
