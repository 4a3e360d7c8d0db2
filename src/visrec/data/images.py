"""Safe decoding of image files from anywhere: one RGB picture, upright, or one `ImageError`."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from visrec.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MAX_PIXELS = 2 * (1 << 30) // 4 // 3
"""Pixels decoded at most by default: 178,956,970, the size at which Pillow itself refuses.

It lets through whatever other Pillow programs open (medium-format cameras make 151 million pixels) and keeps
a worker below about half a gigabyte for the picture itself.
"""

_ORIENTATION_TAG, _SHORT = 0x0112, 3
_STRIP = 1 << 18  # pixels of 16 bits converted at once: all at once take many times the memory of the picture
_HEAD = 32  # bytes: enough to tell the four formats apart and to read the canvas of a WebP


def decode(path: str | Path, *, max_pixels: int = MAX_PIXELS, least_side: int | None = None) -> Image.Image:
    """Decode a JPEG, PNG, WebP or GIF file; its content decides, not its suffix.

    Grey, palette and CMYK pictures become RGB, 16 bits a channel are scaled to 8, transparency is laid on
    white, the first frame stands for an animation, and the EXIF orientation is applied.

    Safe in threads: no setting of Pillow or of `warnings` is touched, and Pillow warns of nothing on the way.

    Args:
        path: The file.
        max_pixels: Larger pictures are refused from their header, before memory is spent on them.
        least_side: A JPEG may come out reduced to a half, a quarter or an eighth (libjpeg does it while it decodes,
            several times faster) as long as its shorter side keeps this many pixels. None: never.

    Raises:
        ImageError: The file is missing, unreadable, empty, a folder, not an image of these formats, cut
            short or damaged, or has more than `max_pixels` pixels.
    """
    with (
        opened(path) as file,
        loaded(Path(path), file, max_pixels=max_pixels, least_side=least_side) as (image, _),
    ):
        return upright(to_rgb(image), orientation_of(image))


def decode_bytes(
    data: bytes, *, name: str, max_pixels: int = MAX_PIXELS, least_side: int | None = None
) -> Image.Image:
    """`decode` for the bytes of a file. `name` is what messages call it.

    Raises:
        ImageError: As `decode`.
    """
    with loaded(Path(name), io.BytesIO(data), max_pixels=max_pixels, least_side=least_side) as (image, _):
        return upright(to_rgb(image), orientation_of(image))


def size_of(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of the picture that `decode` would return, from the header alone.

    A PNG whose orientation stands behind its pixels counts as upright.

    Raises:
        ImageError: As `decode`, but for damage behind the header.
    """
    with opened(path) as file, begun(Path(path), file, max_pixels=max_pixels) as image:
        width, height = image.size
        return (height, width) if orientation_of(image) >= 5 else (width, height)


def content_digest(path: str | Path) -> str:
    """SHA-256 (hex) of an image file's bytes, whatever they are.

    Raises:
        ImageError: There is no such file, it may not be read, or it is a folder, a pipe, a device.
    """
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def opened(path: str | Path) -> Iterator[io.BufferedReader]:
    """The file for reading; whatever the system refuses becomes an `ImageError`."""
    path = Path(path)
    try:
        # A named pipe would block at open, a folder gives another error on each system: look first.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path}: is a folder; expected an image file.")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{path}: is not a regular file; expected an image file.")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file.") from None
    except PermissionError:
        raise ImageError(f"{path}: may not be read (permission denied).") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ImageError(f"{path}: cannot be read ({error}).") from None


@contextmanager
def loaded(
    path: Path, file: BinaryIO, *, max_pixels: int = MAX_PIXELS, least_side: int | None = None
) -> Iterator[tuple[ImageFile.ImageFile, tuple[int, int]]]:
    """The picture of an open file, decoded, but neither turned upright nor brought to RGB; see `decode`.

    With it comes the size that it has in the file, before any reduction. Whatever is raised inside becomes an
    `ImageError` too.
    """
    with begun(path, file, max_pixels=max_pixels) as image:
        size = image.size
        if least_side is not None:
            _reduce(image, least_side)
        image.load()
        yield image, size


@contextmanager
def begun(path: Path, file: BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Iterator[ImageFile.ImageFile]:
    """The picture of an open file with its header read and checked, not decoded.

    Whatever is raised inside becomes an `ImageError` too.
    """
    head = file.read(_HEAD)
    if not head:
        raise ImageError(f"{path}: is empty (0 bytes); expected an image.", kind="empty")
    plugin = _plugin(head)
    if plugin is None:
        raise ImageError(
            f"{path}: is not a JPEG, PNG, WebP or GIF image (it begins with {head[:8]!r}). Save it as one of these.",
            kind="other-type",
        )
    try:
        if plugin.format == "WEBP":  # Pillow's decoder takes memory for the canvas at once
            _check_size(path, _webp_size(head), max_pixels)
        if plugin.format == "PNG":
            _check_animation(file)
        file.seek(0)
        with plugin(file, str(path)) as image:
            _check_size(path, image.size, max_pixels)
            yield image
    except ImageError:
        raise
    except Exception as error:
        # Pillow raises nearly anything (OSError, SyntaxError, struct.error, …) on damaged files, and one
        # image must never end an extraction of a million.
        what = str(error).strip().rstrip(".") or type(error).__name__
        raise ImageError(f"{path}: is cut short or damaged ({what}).", kind="damaged") from error


def suffix_of(content: bytes) -> str:
    """The suffix that a picture file should have by its content: ".jpg", ".png", ".webp" or ".gif".

    Bytes of no such format give ".jpg": whoever decodes them says what they are.
    """
    plugin = _plugin(content[:_HEAD])
    form = "JPEG" if plugin is None else str(plugin.format)
    return {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}[form]


def _plugin(head: bytes) -> type[ImageFile.ImageFile] | None:
    """Pillow's class for the format that a file begins like.

    The classes are used without `Image.open`, since that warns of large pictures before one can look at
    their size.
    """
    if head.startswith(b"\xff\xd8\xff"):
        from PIL.JpegImagePlugin import JpegImageFile

        class QuietJpeg(JpegImageFile):
            """Without the look for a resolution in the EXIF data, which warns where these are damaged."""

            def _read_dpi_from_exif(self) -> None:
                pass

        return QuietJpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile
    if head.startswith((b"GIF87a", b"GIF89a")):
        from PIL.GifImagePlugin import GifImageFile

        return GifImageFile
    return None


def _check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: has {width:,} x {height:,} pixels, {width * height / 1e6:,.0f} million; at most "
            f"{max_pixels / 1e6:,.0f} million are decoded. Save a smaller copy.",
            kind="oversized",
        )


def _reduce(image: ImageFile.ImageFile, least_side: int) -> None:
    """Have a JPEG decoded at the smallest of 1/1, 1/2, 1/4, 1/8 whose shorter side keeps `least_side` pixels."""
    shorter = min(image.size)
    for scale in (8, 4, 2):
        if shorter // scale >= least_side:
            # `draft` takes the largest reduction that leaves at least the size asked for.
            image.draft(None, (image.width // scale, image.height // scale))
            return


def _webp_size(head: bytes) -> tuple[int, int]:
    """Canvas of a WebP file from its first 30 bytes (RFC 9649); (0, 0) where they do not tell."""
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return 0, 0


def _check_animation(file: BinaryIO) -> None:
    """Refuse the animated PNGs that Pillow would warn of: two or impossible counts of frames."""
    file.seek(8)
    found = 0
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in {b"IDAT", b"IEND"}:
            return
        if kind == b"acTL":
            found += 1
            n_frames = int.from_bytes(file.read(4), "big")
            if found > 1 or not 0 < n_frames <= 0x80000000:
                raise ValueError("animated PNG with an impossible number of frames")
            length -= 4
        file.seek(length + 4, os.SEEK_CUR)


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of a decoded picture of any mode, transparency on white."""
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        rgb = Image.new("RGB", image.size)
        rows = max(1, _STRIP // image.width)
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            grey = np.asarray(strip).astype(np.int32)  # (rows, width)
            # Pillow's own conversion clips at 255. 65535 = 255 * 257, so this rounds to the nearest.
            np.clip(grey, 0, 65535, out=grey)
            grey += 128
            grey //= 257
            rgb.paste(Image.fromarray(grey.astype(np.uint8)), (0, top))
        return rgb
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    # A plain copy: what `Image.convert` hands back for RGB is another class with an open file behind it.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def orientation_of(image: Image.Image) -> int:
    """The orientation 1 … 8 in a picture's raw EXIF data; 1 where there is none or they are damaged.

    Read here, because Pillow's reader warns of damaged data and reads all tags for this one.
    """
    exif = image.info.get("exif")
    if not isinstance(exif, bytes):
        return 1
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", data, entry)
            if tag == _ORIENTATION_TAG and kind == _SHORT:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """A picture turned as its EXIF orientation says."""
    from PIL import Image

    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)
