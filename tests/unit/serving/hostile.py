"""Files and forms made to break whoever reads them, and what must become of each."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image


def encoded(kind: str, *, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A small harmless picture: a gradient."""
    rows = np.linspace(0, 255, size[1], dtype=np.uint8)[:, None, None]
    file = io.BytesIO()
    Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).copy()).save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, *, rows: bytes = b"") -> bytes:
    """A PNG of 8 bits grey that claims a size, with some compressed rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png_of_zeros(width: int, height: int) -> bytes:
    """A whole picture of zeros: a thousand times larger than its file."""
    return png(width, height, rows=zlib.compress(bytes((width + 1) * height), 9))


def png_with_text_bomb() -> bytes:
    """A PNG whose comment unpacks to 20 MB."""
    text = b"Comment\0\0" + zlib.compress(bytes(20 << 20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = encoded("PNG")
    return whole[:33] + chunk + whole[33:]


def gif_of_many_frames(n: int) -> bytes:
    """An animation; each frame is another grey."""
    frames = [Image.new("L", (64, 64), k % 256) for k in range(n)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def webp_of_size(width: int, height: int) -> bytes:
    """An extended WebP that claims a canvas and has nothing else."""
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def zipped() -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "hello")
    return file.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
HTML = b"<html><script>alert(1)</script></html>"

REFUSED: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 422, "empty"),
    "truncated jpeg": (encoded("JPEG", size=(400, 300))[:900], 422, "damaged"),
    "truncated png": (encoded("PNG")[:60], 422, "damaged"),
    "truncated webp": (encoded("WEBP", lossless=True)[:30], 422, "damaged"),
    "only a signature": (b"\xff\xd8\xff", 422, "damaged"),
    "svg": (SVG, 415, "other-type"),
    "html": (HTML, 415, "other-type"),
    "zip": (zipped(), 415, "other-type"),
    "html before a jpeg": (HTML + encoded("JPEG"), 415, "other-type"),
    "tiff": (encoded("TIFF"), 415, "other-type"),
    "bmp": (encoded("BMP"), 415, "other-type"),
    "pdf": (b"%PDF-1.7\n", 415, "other-type"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", 415, "other-type"),
    "elf": (b"\x7fELF" + bytes(60), 415, "other-type"),
    "zeros": (bytes(1000), 415, "other-type"),
    "png of 50,000 x 50,000 by its header": (png(50_000, 50_000), 413, "oversized"),
    "png of 2^31 - 1 by its header": (png(2**31 - 1, 2**31 - 1), 413, "oversized"),
    "png of 8,000 x 8,000 in 62 KB": (png_of_zeros(8000, 8000), 413, "oversized"),
    "webp of 16,384 x 16,384 by its header": (webp_of_size(16384, 16384), 413, "oversized"),
    "png without rows": (png(100, 100), 422, "damaged"),
    "png of no width": (png(0, 100), 422, "damaged"),
    "png with a comment of 20 MB": (png_with_text_bomb(), 422, "damaged"),
}
"""By name: the bytes, the status, the kind of the problem."""

SERVED: dict[str, bytes] = {
    "jpeg": encoded("JPEG"),
    "png": encoded("PNG"),
    "webp": encoded("WEBP"),
    "gif": encoded("GIF"),
    "jpeg with a zip behind it": encoded("JPEG") + zipped(),
    "jpeg with a page behind it": encoded("JPEG") + HTML,
    "gif of 2,000 frames": gif_of_many_frames(2000),
    "png of 5,000 x 5,000 in 25 KB": png_of_zeros(5000, 5000),
}
"""Pictures that are decoded, whatever else is in the file."""


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"xyz", end: bool = True) -> bytes:
    """The body of a form of (headers, content)."""
    body = b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return body + (b"--" + boundary + b"--\r\n" if end else b"")


FILE = b'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg'
"""The headers of a part with a picture."""
