"""What `visrec models` shows: the registered models with the facts that their classes state."""

from __future__ import annotations

from typing import Any, get_args

from visrec.recommender import Recommender
from visrec.registry import names, resolve
from visrec.training.trainer import TrainingConfig

MORE = (
    "needs: one vector an item, regions of it, or its image, beside who took what. query: for what it ranks.\n"
    "new users: serves a history without a user. new items: tells apart those that nobody took yet.\n"
    "losses, samplers: the first is the default. --json has the settings as well; docs/models has a page for each."
)
_QUERY = {"nothing": "nobody", "user": "the user", "history": "the history", "both": "user and history"}


def models() -> list[dict[str, Any]]:
    """A dict for each registered model, JSON-able.

    Its keys: model, class, needs, learns, query, "new users", "new items", personal, losses and samplers (empty where
    it does not learn from pairs), settings (all of them, with default and what they mean), paper.
    """
    return [_facts(name, resolve("models", name)) for name in names("models")]


def row(facts: dict[str, Any]) -> dict[str, Any]:
    """A model as a row of the table."""
    shown = ("model", "needs", "learns", "query", "new users", "new items", "losses", "samplers", "paper")
    found = {name: facts[name] for name in shown}
    found["needs"] = None if found["needs"] == "none" else found["needs"]
    found["query"] = _QUERY[found["query"]]
    return found | {name: " ".join(found[name]) or None for name in ("losses", "samplers")}


def own_settings(cls: type[Recommender]) -> list[str]:
    """The names of the settings that a model does not share with all that are learnt from pairs."""
    shared = TrainingConfig.model_fields if issubclass(cls.Config, TrainingConfig) else {}
    return [name for name in cls.Config.model_fields if name not in shared]


def _facts(name: str, cls: type[Recommender]) -> dict[str, Any]:
    defaults = cls.Config().model_dump(mode="json")
    fields = cls.Config.model_fields
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
        "settings": {
            one: {"default": default, "about": " ".join((fields[one].description or "").split())}
            for one, default in defaults.items()
        },
        "paper": cls.paper,
    }


def _choices(cls: type[Recommender], setting: str) -> list[str]:
    """What a setting can be, the default first; empty where the model has no such setting."""
    field = cls.Config.model_fields.get(setting)
    if field is None:
        return []
    return sorted(get_args(field.annotation), key=lambda choice: choice != field.default)
