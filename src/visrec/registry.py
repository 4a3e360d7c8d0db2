"""Names to classes: "vbpr" -> "visrec.models.vbpr:VBPR". Nothing is imported until it is asked for.

Other packages add names through entry points in the groups `visrec.models`, `visrec.extractors`, `visrec.datasets`
and `visrec.formats`.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from visrec.errors import ConfigError

BUILTIN: dict[str, dict[str, str]] = {
    "models": {
        "random": "visrec.models.random:Random",
        "popularity": "visrec.models.popularity:Popularity",
        "item_knn": "visrec.models.item_knn:ItemKNN",
        "ease": "visrec.models.ease:EASE",
        "als": "visrec.models.als:ALS",
        "visrank": "visrec.models.visrank:VisRank",
        "bpr": "visrec.models.bpr:BPR",
        "vbpr": "visrec.models.vbpr:VBPR",
        "dvbpr": "visrec.models.dvbpr:DVBPR",
        "curatornet": "visrec.models.curatornet:CuratorNet",
        "acf": "visrec.models.acf:ACF",
    },
    "extractors": {
        "color": "visrec.features.handcrafted.color:Color",
        "attractiveness": "visrec.features.handcrafted.attractiveness:Attractiveness",
        "lbp": "visrec.features.handcrafted.lbp:LBP",
        "hog": "visrec.features.handcrafted.hog:HOG",
        "sift": "visrec.features.handcrafted.sift:SIFT",
        "pixels": "visrec.features.handcrafted.pixels:Pixels",
    },
    "datasets": {
        "wikimedia": "visrec.converting.wikimedia:WIKIMEDIA",
        "ugallery": "visrec.data.datasets.ugallery:UGALLERY",
        "movielens-posters": "visrec.data.datasets.movielens:MOVIELENS",
        "pinterest": "visrec.data.datasets.pinterest:PINTEREST",
        "behance": "visrec.data.datasets.behance:BEHANCE",
        "amazon-fashion": "visrec.data.datasets.dvbpr:AMAZON_FASHION",
        "amazon-women": "visrec.data.datasets.dvbpr:AMAZON_WOMEN",
        "amazon-men": "visrec.data.datasets.dvbpr:AMAZON_MEN",
        "tradesy": "visrec.data.datasets.dvbpr:TRADESY",
        "tradesy-vbpr": "visrec.data.datasets.tradesy:TRADESY_VBPR",
        "amazon-2014": "visrec.data.datasets.amazon_2014:AMAZON_2014",
        "amazon-2023": "visrec.data.datasets.amazon_2023:AMAZON_2023",
        "hm": "visrec.data.datasets.hm:HM",
        "microlens": "visrec.data.datasets.microlens:MICROLENS",
        "pixelrec": "visrec.data.datasets.pixelrec:PIXELREC",
        "synthetic": "visrec.data.datasets.synthetic:SYNTHETIC",
    },
    "formats": {
        "tutorial": "visrec.converting.tutorial:TUTORIAL",
        "recbole": "visrec.data.formats.recbole:RECBOLE",
        "mmrec": "visrec.data.formats.mmrec:MMREC",
        "elliot": "visrec.data.formats.elliot:ELLIOT",
        "cornac": "visrec.data.formats.cornac:CORNAC",
        "lenskit": "visrec.data.formats.lenskit:LENSKIT",
        "rectools": "visrec.data.formats.rectools:RECTOOLS",
        "huggingface": "visrec.data.formats.huggingface:HUGGINGFACE",
        "images": "visrec.data.formats.images:IMAGES",
    },
}


def names(kind: str) -> list[str]:
    """All registered names of a kind ("models", "extractors", "datasets", "formats"), built-in ones first."""
    added = [point.name for point in _points(kind)]
    return [*BUILTIN[kind], *sorted(set(added) - set(BUILTIN[kind]))]


def target(kind: str, name: str) -> str | None:
    """Where a name is defined, as "module:name"; None if there is no such name. Nothing is imported."""
    if name in BUILTIN[kind]:
        return BUILTIN[kind][name]
    return next((f"{one.module}:{one.attr}" for one in _points(kind) if one.name == name), None)


def resolve(kind: str, name: str) -> Any:
    """The class or function registered under a name; `ConfigError` with the near misses if there is none."""
    target = BUILTIN[kind].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    for point in _points(kind):
        if point.name == name:
            return point.load()
    noun = "data set" if kind == "datasets" else kind.removesuffix("s")
    raise ConfigError(unknown_name(noun, name, names(kind), f"visrec {kind}"))


@cache
def _points(kind: str) -> tuple[EntryPoint, ...]:
    """What other packages register; looked up once, which takes a look at every package that is installed."""
    return tuple(entry_points(group=f"visrec.{kind}"))


def unknown_name(noun: str, name: str, known: list[str], *commands: str) -> str:
    """The message for a name that does not exist: near misses and the commands that list all."""
    lists = " and ".join(f"`{command}`" for command in commands) + (
        " lists" if len(commands) == 1 else " list"
    )
    return f"There is no {noun} '{name}'.{near_misses(name, known)} {lists} them all."


def near_misses(name: str, known: list[str]) -> str:
    """ " Did you mean …?", or "" where no known name is like this one. Capitals make no difference."""
    near = difflib.get_close_matches(name.lower(), known, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
