from __future__ import annotations

import io
import struct

import pytest

from visrec.data.formats.bson import MOST, read_documents
from visrec.errors import DataError


def element(key: str, value: object) -> bytes:
    """As the specification lays it out: kind, name, zero, value."""
    name = key.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + name + bytes([value])
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + name + struct.pack("<i", len(text)) + text
    if isinstance(value, int):
        wide = not -(2**31) <= value < 2**31
        return (b"\x12" if wide else b"\x10") + name + struct.pack("<q" if wide else "<i", value)
    if isinstance(value, float):
        return b"\x01" + name + struct.pack("<d", value)
    if isinstance(value, bytes):
        return b"\x07" + name + value
    if isinstance(value, list):
        return b"\x04" + name + document({str(n): one for n, one in enumerate(value)})
    if isinstance(value, dict):
        return b"\x03" + name + document(value)
    return b"\x0a" + name


def document(fields: dict[str, object]) -> bytes:
    body = b"".join(element(key, value) for key, value in fields.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def read(content: bytes) -> list[dict[str, object]]:
    return list(read_documents(io.BytesIO(content), name="x.bson"))


def test_all_kinds_of_values_are_read():
    oid = bytes(range(12))
    fields = {"_id": oid, "text": "Türe", "empty": "", "n": -3, "wide": 2**40, "x": 0.5, "yes": True, "no": None,
              "list": ["a", "b", ["c"]], "in": {"a": 1}}  # fmt: skip
    expected = fields | {"_id": oid.hex()}
    assert read(document(fields) + document({"second": 2})) == [expected, {"second": 2}]
    assert read(b"") == []


def test_a_time_is_milliseconds():
    body = b"\x09t\0" + struct.pack("<q", 1_234)
    assert read(struct.pack("<i", len(body) + 5) + body + b"\0") == [{"t": 1234}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (document({"a": "text"})[:-3], "is cut short in document 1"),
        (b"\x05\0", "document 1, at byte 0, is no BSON"),
        (struct.pack("<i", MOST + 1) + b"x", "is no BSON"),
        (struct.pack("<i", -8) + b"xxxx", "is no BSON"),
        (document({"a": 1}) + document({"a": "x"})[:-1] + b"\x01", "document 2, at byte 12, is damaged"),
        (document({"a": "text"}).replace(b"\x05\0\0\0text", b"\xff\0\0\0text"), "a text that does not end"),
        (document({"a": "text"}).replace(b"text", b"\xff\xfe\xfd\xfc"), "is damaged"),
        (document({"a": [1]}).replace(b"\x04a\0\x0c", b"\x04a\0\x7f"), "a document that does not end"),
        (document({"a": True}).replace(b"\x08", b"\x0d"), "a value of kind 0x0d"),
    ],
)  # fmt: skip
def test_damage_is_told_with_its_place(content, message):
    with pytest.raises(DataError, match=message):
        read(content)


def test_lists_in_lists_without_end_are_refused():
    deep: object = "x"
    for _ in range(40):
        deep = [deep]
    with pytest.raises(DataError, match="is damaged"):
        read(document({"a": deep}))
