"""An explanation in one sentence for a page, no stronger than what the model does."""

from __future__ import annotations

from dataclasses import replace

from visrec.data.catalog import Catalog
from visrec.explain.explanation import Explanation, ItemId, Nearest, Term
from visrec.recommender import Recommender

LEAST_LIKE = 0.005
"""Below this cosine, which is displayed as 0, nothing is said to look like anything."""


def because(found: Explanation, model: Recommender, catalog: Catalog | None = None) -> Explanation:
    """The explanation with its sentence.

    - A model that is not personal says so.
    - Where the score is a sum of terms, the one that lifts the item the most above an average item decides.
    - Where each item of the history has its exact part and looks play none, or attention decides, the largest part
      is named.
    - Else the nearest liked picture is named, if it has anything in common with the item; where the model does not
      look at pictures, the sentence says that too.
    """
    return replace(found, because=_said(found, model, catalog))


def _said(found: Explanation, model: Recommender, catalog: Catalog | None) -> str:
    if not model.personal:
        if model.learns == "counts":
            return "Because many people took it; this model gives everyone the same list."
        return "By chance: this model knows nothing of anyone."
    near = found.nearest.items[:1] if found.nearest else ()
    looks = (
        _looks(found.nearest, catalog)
        if found.nearest and near and near[0].similarity >= LEAST_LIKE
        else None
    )
    sees = model.needs != "none"
    if found.terms:
        return _of_term(max(found.terms, key=lambda one: one.above), looks)
    ranked = found.contributions.ranked if found.contributions else ()
    if ranked and ranked[0].value > 0 and (not sees or found.attention):
        name = _named(ranked[0].item_id, catalog)
        if found.attention:
            return f"Because you liked {name}: of what you liked, it counts most for this one."
        return f"Because people who liked {name}, which you liked, also liked this one."
    if looks is None:
        return "Because it fits what you liked as a whole; no single picture stands out."
    if sees or (found.nearest and not found.nearest.looks):
        return f"Because {looks}."
    return (
        f"Because people with a taste like yours liked it. This model does not look at pictures, but {looks}."
    )


def _of_term(term: Term, looks: str | None) -> str:
    if term.above <= 0:
        return "Nothing speaks for it: for you, it is below an average item in all that this model knows."
    if term.name == "visual":
        return f"Because {looks}." if looks and "looks" in looks else "Because it looks like what you like."
    if term.name == "factors":
        because = "Because people with a taste like yours liked it."
    elif term.name == "visual bias":
        because = "Because pictures that look like it are liked by many."
    else:
        because = "Because it is liked by many."
    return because if looks is None else f"{because} Also, {looks}."


def _looks(nearest: Nearest, catalog: Catalog | None) -> str:
    first = nearest.items[0]
    name = f"your picture {first.item_id}" if first.uploaded else _named(first.item_id, catalog)
    liked = "" if first.uploaded else ", which you liked"
    what = "it looks like" if nearest.looks else "it is liked by the same people as"
    return f"{what} {name}{liked}: likeness {first.similarity:.2f}"


def _named(item: ItemId, catalog: Catalog | None) -> str:
    title = str(item)
    if catalog is not None and item in catalog.items:
        title = catalog.title(catalog.items.index(item))
    return f"‘{title}’"
