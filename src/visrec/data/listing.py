"""What `visrec datasets` and `visrec formats` show, read from the source of each: no library is loaded for it."""

from __future__ import annotations

from typing import Any

from visrec.declarations import Unreadable, declared
from visrec.registry import names, resolve, target


def datasets() -> list[dict[str, str]]:
    """One row a published data set: its name, what it is of, its size in words."""
    found = [facts("datasets", name, ("name", "what", "size")) for name in names("datasets")]
    return [{"data set": one["name"], "what": one["what"], "size": one["size"]} for one in found]


def formats() -> list[dict[str, str]]:
    """One row a format: its name, whose it is, what is read, and what can be done with it."""
    rows = []
    for name in names("formats"):
        one = facts("formats", name, ("title", "what"), ("read", "convert", "write"))
        able = ["convert"] * (one["read"] or one["convert"]) + ["export"] * one["write"]
        rows.append({"format": name, "of": one["title"], "what": one["what"], "commands": ", ".join(able)})
    return rows


def facts(kind: str, name: str, texts: tuple[str, ...], able: tuple[str, ...] = ()) -> dict[str, Any]:
    """What is registered under a name: some of its texts, and whether it has some functions (True, False).

    What its source does not say beyond doubt is asked of itself, once it is imported.
    """
    try:
        return stated(kind, name, texts, able)
    except Unreadable:
        entry = resolve(kind, name)
    return {one: getattr(entry, one) for one in texts} | {one: bool(getattr(entry, one)) for one in able}


def stated(kind: str, name: str, texts: tuple[str, ...], able: tuple[str, ...] = ()) -> dict[str, Any]:
    """`facts` by the source alone.

    Raises:
        Unreadable: it does not say them beyond doubt.
    """
    found = declared(target(kind, name) or "")
    return {one: found.value(one) for one in texts} | {one: not found.is_none(one) for one in able}
