"""What `visrec models` shows: the registered models with the facts that their classes state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from visrec.declarations import Declaration, Unreadable, declared
from visrec.registry import names, resolve, target

if TYPE_CHECKING:
    from visrec.recommender import Recommender

MORE = (
    "needs: one vector an item, regions of it, or its image, beside who took what. query: for what it ranks.\n"
    "new users: serves a history without a user. new items: tells apart those that nobody took yet.\n"
    "losses, samplers: the first is the default. --json has the settings as well; docs/models has a page for each."
)
# The columns of the table, and of which setting one has the choices.
_SHOWN = {
    **dict.fromkeys(("needs", "learns", "query", "new users", "new items")),
    "losses": "loss",
    "samplers": "sampler",
    "paper": None,
}
_QUERY = {"nothing": "nobody", "user": "the user", "history": "the history", "both": "user and history"}


def models() -> list[dict[str, Any]]:
    """A dict for each registered model, JSON-able.

    Its keys: model, class, needs, learns, query, "new users", "new items", personal, losses and samplers (empty where
    it does not learn from pairs), settings (all of them, with default and what they mean), paper.
    """
    return [_facts(name, resolve("models", name)) for name in names("models")]


def rows() -> list[dict[str, Any]]:
    """The table: a row for each registered model, read from its source, so that no library of a model is loaded.

    A model whose source does not say it beyond doubt is imported; that is only ever one of another package.
    """
    return [_row(stated(name) or _facts(name, resolve("models", name))) for name in names("models")]


def stated(name: str) -> dict[str, Any] | None:
    """What the source of a model says: the facts of `models` that the table shows; None where that is in doubt."""
    try:
        found = declared(target("models", name) or "")
        return {"model": name} | {
            shown: _stated_choices(found, setting) if setting else found.value(shown.replace(" ", "_"))
            for shown, setting in _SHOWN.items()
        }
    except Unreadable:
        return None


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    found = {name: facts[name] for name in ("model", *_SHOWN)}
    found["needs"] = None if found["needs"] == "none" else found["needs"]
    found["query"] = _QUERY[found["query"]]
    return found | {name: " ".join(found[name]) or None for name in ("losses", "samplers")}


def own_settings(cls: type[Recommender]) -> list[str]:
    """The names of the settings that a model does not share with all that are learnt from pairs."""
    from visrec.training.trainer import TrainingConfig

    shared = TrainingConfig.model_fields if issubclass(cls.Config, TrainingConfig) else {}
    return [name for name in cls.Config.model_fields if name not in shared]


def _facts(name: str, cls: type[Recommender]) -> dict[str, Any]:
    defaults = cls.Config().model_dump(mode="json")
    about = cls.Config.about()
    return {
        "model": name,
        "class": cls.__name__,
        "needs": cls.needs,
        "learns": cls.learns,
        "query": cls.query,
        "new users": cls.new_users,
        "new items": cls.new_items,
        "personal": cls.personal,
        "losses": _choices(cls, "loss"),
        "samplers": _choices(cls, "sampler"),
        "settings": {one: {"default": default, "about": about[one]} for one, default in defaults.items()},
        "paper": cls.paper,
    }


def _stated_choices(of: Declaration, setting: str) -> list[str]:
    config = of.follow("Config")
    return _default_first(config.choices(setting), config.value(setting)) if config.has(setting) else []


def _choices(cls: type[Recommender], setting: str) -> list[str]:
    """What a setting can be, the default first; empty where the model has no such setting."""
    field = cls.Config.model_fields.get(setting)
    if field is None:
        return []
    return _default_first(get_args(field.annotation), field.default)


def _default_first(choices: tuple[str, ...], default: str) -> list[str]:
    return sorted(choices, key=lambda choice: choice != default)
