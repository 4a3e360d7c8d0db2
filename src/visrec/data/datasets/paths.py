"""Paths of categories, as Amazon's products have them: from the widest to the narrowest, several a product."""

from __future__ import annotations

from collections.abc import Sequence


def category_of(paths: Sequence[Sequence[str]]) -> str | None:
    """All names on the paths, each once, joined by "|"; None where there is none."""
    names = dict.fromkeys(name.replace("|", "/") for path in paths for name in path if name)
    return "|".join(names) or None


def lies_within(paths: Sequence[Sequence[str]], within: Sequence[str]) -> bool:
    """Whether the names of `within` follow each other somewhere on one of the paths."""
    n = len(within)
    wanted = [*within]
    return any([*path[at : at + n]] == wanted for path in paths for at in range(len(path) - n + 1))
