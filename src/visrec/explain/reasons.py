"""Why a model gives an item to somebody: the parts, and one sentence of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from visrec.content import Content
from visrec.data.catalog import Catalog
from visrec.errors import ConfigError, FeaturesError
from visrec.explain.activation import activation
from visrec.explain.attention import attention
from visrec.explain.attributes import attributes as attributes_of
from visrec.explain.contributions import contributions, terms
from visrec.explain.explanation import Explanation, ItemId
from visrec.explain.nearest import compared_by, nearest
from visrec.explain.question import Question
from visrec.explain.sentence import because
from visrec.features.features import Features
from visrec.recommender import Recommender

PARTS = ("nearest", "contributions", "terms", "attention", "activation", "attributes")
DECIDING = ("nearest", "contributions", "terms", "attention")
"""The parts that the sentence depends on; the others take longer."""
"""What an explanation can consist of."""


def explain(
    model: Recommender,
    user: ItemId | None,
    item: ItemId,
    *,
    history: Sequence[ItemId] | None = None,
    content: Features | Content | None = None,
    catalog: Catalog | None = None,
    attributes: Features | None = None,
    pictures: Mapping[str, np.ndarray] | None = None,
    n_nearest: int = 3,
    parts: Collection[str] = PARTS,
) -> Explanation:
    """Why a model gives an item to a user, or to a visitor with a history.

    Models that were loaded without their features explain what they can; `load_model(folder, content)` attaches
    these, which ACF's attention and DVBPR's map need. What is left out is said in `notes`.

    Args:
        model: a fitted one.
        user: a user id, or None for a visitor, whom only some models serve.
        item: an item id.
        history: what was liked, item ids, oldest first; None: what the user took in the training data. An id that
            comes twice counts once, the item itself not at all.
        content: features by which pictures are compared; None: those of the model, or else what it holds of items.
        catalog: titles, and the sizes of pictures.
        attributes: of `attribute_table`; None: there are no attributes in the explanation.
        pictures: of uploaded pictures that were liked the vectors, by name, finished as `content` is
            (`visrec.features.encoding`); they take part in what is nearest alone.
        n_nearest: how many nearest liked items.
        parts: which of `PARTS`; "activation" takes the longest, by far.

    Raises:
        DataError: a user or an item is unknown.
        ConfigError: a setting is not valid, or neither a user nor a history is given.
        UnsupportedError: the model does not serve visitors.
        FeaturesError: features are of other items, or an ACF without its features is asked for another history than
            that of the training data.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ConfigError(f"There is no part '{unknown[0]}' of an explanation; there are {', '.join(PARTS)}.")
    question = Question.of(model, user, item, history)
    compared = compared_by(model, content)
    score = question.score
    notes: list[str] = []
    makers: dict[str, Callable[[], object]] = {
        "nearest": lambda: nearest(question, compared, n=n_nearest, pictures=pictures),
        "contributions": lambda: contributions(question),
        "terms": lambda: terms(question),
        "attention": lambda: attention(question, catalog),
        "activation": lambda: activation(question),
        "attributes": lambda: attributes_of(question, attributes.align(model.items)) if attributes else (),
    }
    made = {}
    for part in PARTS:
        if part in parts:
            try:
                made[part] = makers[part]()
            except FeaturesError as error:
                if part in ("nearest", "attributes"):  # what was given is at fault
                    raise
                notes.append(str(error))
    found = Explanation(
        model=type(model).__name__,
        user=user,
        item=question.ids(np.array([question.item]))[0],
        score=score,
        history=tuple(question.ids(question.history)),
        because="",
        notes=tuple(dict.fromkeys(notes)),
        **made,  # type: ignore[arg-type]
    )
    return because(found, model, catalog)
