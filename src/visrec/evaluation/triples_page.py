"""One HTML file that shows sampled triples as pictures: what a model looks at, what should stand above what.

Like the page of a run it needs nothing else: no request goes to any host, no script runs, and each picture is
embedded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from visrec.evaluation.markup import template
from visrec.evaluation.thumbnails import frame_of, thumbnails_of
from visrec.files import write_text

if TYPE_CHECKING:
    from visrec.data.catalog import Catalog

SHOWN = 8
"""Items of a history that are shown at most."""

_FRAME_AREA = 104 * 104  # CSS pixels: ten pictures and the sign between them stand in a row


@dataclass(frozen=True)
class Example:
    """A triple to be shown; items as indices of the catalogue.

    Attributes:
        who: whose history it is.
        history: all that the model looks at, oldest first.
        pos: the positive.
        neg: the negative.
        pos_remark: a line under the positive.
        neg_remark: a line under the negative.
        marked: an item of the history to be marked, which is why the positive is one; None: there is none such.
    """

    who: str
    history: Sequence[int]
    pos: int
    neg: int
    pos_remark: str = ""
    neg_remark: str = ""
    marked: int | None = None

    @property
    def shown(self) -> list[int]:
        """The newest items of the history, and the one that is marked."""
        newest = list(self.history[-SHOWN:])
        if self.marked is not None and self.marked not in newest:
            newest[0] = self.marked
        return newest

    @property
    def note(self) -> str:
        """Whose history, and how much of it is shown."""
        there, shown = len(self.history), min(len(self.history), SHOWN)
        part = (
            f"{there} {'item' if there == 1 else 'items'}" if there == shown else f"{shown} of {there} items"
        )
        return f"{self.who} · {part}" if there else f"{self.who} · nothing else"


@dataclass(frozen=True)
class Group:
    """Triples that one rule has made.

    Attributes:
        heading: names the rule.
        rule: the rule in a sentence.
        remark: how much of training it makes.
        examples: some of its triples.
    """

    heading: str
    rule: str
    remark: str
    examples: Sequence[Example]

    @property
    def most(self) -> int:
        """How many items the longest history shown has, at least 1."""
        return max(1, *(len(one.shown) for one in self.examples), 1)


def write_triples_page(
    path: str | Path,
    *,
    title: str,
    groups: Sequence[Group],
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    catalog: Catalog | None = None,
    clusters: np.ndarray | None = None,
    creators: Sequence[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write `render_triples_page` of the same arguments, atomically."""
    page = render_triples_page(
        title=title,
        groups=groups,
        facts=facts,
        notes=notes,
        catalog=catalog,
        clusters=clusters,
        creators=creators,
        provenance=provenance,
    )
    write_text(path, page)


def render_triples_page(
    *,
    title: str,
    groups: Sequence[Group],
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    catalog: Catalog | None = None,
    clusters: np.ndarray | None = None,
    creators: Sequence[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML. The same arguments give the same text.

    Args:
        title: of the page.
        groups: what is shown.
        facts: (label, value) about the data set and the sampler.
        notes: sentences that a reader should know first.
        catalog: titles and pictures; without one, tiles show the index of the item.
        clusters: `(I,)` the visual cluster of each item, -1: none; None: they are not shown.
        creators: `(I,)` who made each item, empty where that is unknown; None: they are not shown.
        provenance: how the triples came about, nested as it likes.
    """
    examples = [one for group in groups for one in group.examples]
    used = sorted({item for one in examples for item in (*one.shown, one.pos, one.neg)})
    thumbnails = thumbnails_of(catalog, used)
    width, height = frame_of(thumbnails.values(), area=_FRAME_AREA)
    labels = {
        item: {
            "title": catalog.title(item) if catalog else f"item {item}",
            "creator": creators[item] if creators else "",
            "cluster": f"cluster {clusters[item]}" if clusters is not None and clusters[item] >= 0 else "",
        }
        for item in used
    }
    return template("triples.html.j2").render(
        title=title,
        facts=facts,
        notes=notes,
        groups=groups,
        labels=labels,
        pictured=set(thumbnails),
        pictures=[(item, one.data, one.fit(width / height)) for item, one in thumbnails.items()],
        frame=(width, height),
        provenance=provenance or {},
    )
