"""Why a model recommends what it recommends: `explain(model, user, item)`.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Where each public name is defined.
_PUBLIC = {
    "explain": "visrec.explain.reasons",
    "PARTS": "visrec.explain.reasons",
    "Explanation": "visrec.explain.explanation",
    "attribute_table": "visrec.explain.attributes",
    "region_boxes": "visrec.explain.attention",
}

if TYPE_CHECKING:
    from visrec.explain.attention import region_boxes as region_boxes
    from visrec.explain.attributes import attribute_table as attribute_table
    from visrec.explain.explanation import Explanation as Explanation
    from visrec.explain.reasons import PARTS as PARTS
    from visrec.explain.reasons import explain as explain

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'visrec.explain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
