"""visrec: recommendation of things that are seen. Public names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# The one list of public names: where each is defined.
_PUBLIC = {
    "load_dataset": "visrec.data.dataset",
    "Dataset": "visrec.data.dataset",
    "from_frame": "visrec.data.frames",
    "Catalog": "visrec.data.catalog",
    "Interactions": "visrec.data.interactions",
    "IdMap": "visrec.data.ids",
    "k_core": "visrec.data.interactions",
    "Split": "visrec.data.splits",
    "leave_last_out": "visrec.data.splits",
    "by_evaluation": "visrec.data.splits",
    "by_time": "visrec.data.splits",
    "by_ratio": "visrec.data.splits",
    "fetch_images": "visrec.data.downloads.images",
    "convert": "visrec.converting.conversion",
    "export": "visrec.converting.conversion",
    "check": "visrec.checks.checkup",
    "fix": "visrec.checks.mending",
    "Features": "visrec.features.features",
    "Content": "visrec.content",
    "extract": "visrec.features.extraction",
    "Recommender": "visrec.recommender",
    "Queries": "visrec.recommender",
    "load_model": "visrec.recommender",
    "Random": "visrec.models.random",
    "Popularity": "visrec.models.popularity",
    "ItemKNN": "visrec.models.item_knn",
    "EASE": "visrec.models.ease",
    "ALS": "visrec.models.als",
    "VisRank": "visrec.models.visrank",
    "BPR": "visrec.models.bpr",
    "VBPR": "visrec.models.vbpr",
    "DVBPR": "visrec.models.dvbpr",
    "CuratorNet": "visrec.models.curatornet",
    "ACF": "visrec.models.acf",
    "evaluate": "visrec.evaluation.protocol",
    "Report": "visrec.evaluation.protocol",
    "Protocol": "visrec.evaluation.tasks",
    "Experiment": "visrec.experiment",
    "Run": "visrec.run_folder",
    "compare": "visrec.run_comparison",
    "compare_features": "visrec.comparison",
    "Explanation": "visrec.explain.explanation",
    "VisrecError": "visrec.errors",
}
# Packages that are reached as `visrec.explain.explain(…)`.
_PACKAGES = ("explain",)

if TYPE_CHECKING:
    from visrec import explain as explain
    from visrec.checks.checkup import check as check
    from visrec.checks.mending import fix as fix
    from visrec.comparison import compare_features as compare_features
    from visrec.content import Content as Content
    from visrec.converting.conversion import convert as convert
    from visrec.converting.conversion import export as export
    from visrec.data.catalog import Catalog as Catalog
    from visrec.data.dataset import Dataset as Dataset
    from visrec.data.dataset import load_dataset as load_dataset
    from visrec.data.downloads.images import fetch_images as fetch_images
    from visrec.data.frames import from_frame as from_frame
    from visrec.data.ids import IdMap as IdMap
    from visrec.data.interactions import Interactions as Interactions
    from visrec.data.interactions import k_core as k_core
    from visrec.data.splits import Split as Split
    from visrec.data.splits import by_evaluation as by_evaluation
    from visrec.data.splits import by_ratio as by_ratio
    from visrec.data.splits import by_time as by_time
    from visrec.data.splits import leave_last_out as leave_last_out
    from visrec.errors import VisrecError as VisrecError
    from visrec.evaluation.protocol import Report as Report
    from visrec.evaluation.protocol import evaluate as evaluate
    from visrec.evaluation.tasks import Protocol as Protocol
    from visrec.experiment import Experiment as Experiment
    from visrec.explain.explanation import Explanation as Explanation
    from visrec.features.extraction import extract as extract
    from visrec.features.features import Features as Features
    from visrec.models.acf import ACF as ACF
    from visrec.models.als import ALS as ALS
    from visrec.models.bpr import BPR as BPR
    from visrec.models.curatornet import CuratorNet as CuratorNet
    from visrec.models.dvbpr import DVBPR as DVBPR
    from visrec.models.ease import EASE as EASE
    from visrec.models.item_knn import ItemKNN as ItemKNN
    from visrec.models.popularity import Popularity as Popularity
    from visrec.models.random import Random as Random
    from visrec.models.vbpr import VBPR as VBPR
    from visrec.models.visrank import VisRank as VisRank
    from visrec.recommender import Queries as Queries
    from visrec.recommender import Recommender as Recommender
    from visrec.recommender import load_model as load_model
    from visrec.run_comparison import compare as compare
    from visrec.run_folder import Run as Run

__all__ = ["__version__", *_PACKAGES, *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _PACKAGES:
        return import_module(f"visrec.{name}")
    raise AttributeError(f"module 'visrec' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
