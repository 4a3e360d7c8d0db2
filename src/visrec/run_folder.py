"""A run folder, and what is in it.

It describes itself: `{experiment.toml, data.json, features/, models/<name>/, report.json,
per_user.parquet, report.html, plots/}`, `regions/` and `images/` where models look at these, and `events.parquet`
where feedback was folded in. `experiment.toml` holds every setting, resolved. With several seeds, the further ones
are `models/<name>@<seed>/`, and `per_seed.parquet` has the rows of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from visrec.config import digest_of
from visrec.content import Content, Kind
from visrec.data.dataset import Dataset, load_dataset
from visrec.data.splits import Split
from visrec.errors import RunError
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate
from visrec.evaluation.slices import Slicing
from visrec.evaluation.tasks import Protocol
from visrec.experiment import Experiment
from visrec.explain.faithfulness import Check
from visrec.features.features import META, Features
from visrec.feedback.addresses import COPY
from visrec.feedback.folding import Folded, fold
from visrec.feedback.reading import read_events
from visrec.files import read_json
from visrec.neighbours import similar_items
from visrec.progress import Progress
from visrec.recommender import Recommender, load_model

FOLDERS: dict[Kind, str] = {"vector": "features", "regions": "regions", "image": "images"}
"""Where a run keeps the features of each kind."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder. `Run.load(path)` opens one; everything in it is read when it is asked for."""

    path: Path
    experiment: Experiment

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Open a run folder; `RunError` if it is none."""
        path = Path(path)
        if not (path / "experiment.toml").is_file():
            raise RunError(
                f"{path}: is not a run folder (no experiment.toml). `visrec run DATA --out {path}` makes one."
            )
        return cls(path, Experiment.from_toml(path / "experiment.toml"))

    @cached_property
    def events(self) -> pl.DataFrame | None:
        """The feedback that is folded into the data: the events that the run was begun with; None without any."""
        copy, source = self.path / COPY, self.experiment.data.events
        if source is None:
            return None
        if not copy.is_file() and (self.path / "data.json").is_file():
            raise RunError(
                f"{copy}: is missing, the feedback that this run was begun with. Choose another --out folder for the "
                f"events that are there now."
            )
        return read_events(copy if copy.is_file() else source)

    @cached_property
    def folded(self) -> Folded | None:
        """The data set with the feedback in it, and what became of the events; None without feedback."""
        return None if self.events is None else fold(_load_folder(self.experiment), self.events)

    @cached_property
    def data(self) -> Dataset:
        """The data set that the run was made from; `RunError` if it has changed since."""
        return self._unchanged(_load_folder(self.experiment) if self.folded is None else self.folded.data)

    def read(self, progress: Progress | None) -> Dataset:
        """`data`; where it is not read yet, with a word on how far that is."""
        if not {"data", "folded"} & vars(self).keys():
            events, folder = self.events, _load_folder(self.experiment, progress)
            vars(self).update(
                {"data": self._unchanged(folder)} if events is None else {"folded": fold(folder, events)}
            )
        return self.data

    def _unchanged(self, data: Dataset) -> Dataset:
        facts = self.path / "data.json"
        if facts.is_file() and read_facts(facts)["digest"] != data_digest(data):
            raise RunError(
                f"{self.path}: the data set {self.experiment.data.path} has changed since this run was begun. "
                f"Choose another --out folder for the new data."
            )
        return data

    @cached_property
    def split(self) -> Split:
        """Training, validation and test parts."""
        return self.experiment.split(self.data)

    @cached_property
    def features(self) -> Features:
        """The visual features; `RunError` if the run has none."""
        folder = self.path / "features"
        if not folder.is_dir():
            raise RunError(
                f"{self.path}: has no features; none of its models needed them. Name a model (--model), or add one "
                f"that needs them: visrec run {self.experiment.data.path} --models visrank --out {self.path}"
            )
        return vars(self)["content"].vector if "content" in vars(self) else Features.load(folder)

    def has(self, kind: Kind) -> bool:
        """Whether features of a kind are there."""
        return kind != "none" and (self.path / FOLDERS[kind] / META).is_file()

    @cached_property
    def content(self) -> Content:
        """All that models can learn from beside the interactions, as far as it is there."""
        return filed(
            [Features.load(self.path / FOLDERS[kind]) for kind in FOLDERS if self.has(kind)], self.data
        )

    @property
    def mapped(self) -> Features:
        """What a map of the catalogue is drawn of: vectors, else regions; `RunError` if the run has neither."""
        found = self.content.vector if self.content.vector is not None else self.content.regions
        return self.features if found is None else found  # which says what is missing

    def evaluated_as(self, settings: Mapping[str, Any]) -> Run:
        """The same run with other settings of [evaluation]; its experiment.toml keeps its own."""
        return replace(self, experiment=self.experiment.replace(evaluation=settings))

    @property
    def reported_protocol(self) -> Protocol:
        """That of report.json, which `visrec evaluate --protocol` chooses; before any report the experiment's."""
        settings = self.provenance.get("protocol", {}).get("settings")
        return self.experiment.evaluation.protocol if settings is None else Protocol(**settings)

    @property
    def models(self) -> list[str]:
        """Names of the models of the experiment."""
        return list(self.experiment.models)

    @property
    def trained(self) -> list[str]:
        """Names of those that are trained."""
        return [name for name in self.models if (self.path / "models" / name / "config.json").is_file()]

    def folder_of(self, name: str, seed: int | None = None) -> Path:
        """Where a model is kept: of its first seed (None), or of another."""
        is_first = seed is None or seed == self.experiment.seeds_of(name)[0]
        return self.path / "models" / (name if is_first else f"{name}@{seed}")

    def trained_seeds(self, name: str) -> list[int | None]:
        """The seeds of a trained model that are there, with the settings of its first one; [None] if it has none."""
        settings = _settings_in(self.folder_of(name))
        return [
            seed
            for seed in self.experiment.seeds_of(name)
            if _settings_in(self.folder_of(name, seed)) == settings
        ]

    def model(self, name: str, *, seed: int | None = None) -> Recommender:
        """A fitted model by its name: of its first seed, or of another."""
        if name not in self.experiment.models:
            raise RunError(f"{self.path}: has no model '{name}'. It has {', '.join(self.models)}.")
        folder = self.folder_of(name, seed)
        if not folder.is_dir():
            which = f"'{name}'" if seed is None else f"'{name}' with the seed {seed}"
            raise RunError(
                f"{self.path}: the model {which} is not trained yet; `visrec run` goes on with the run."
            )
        return load_model(folder)

    def similar(self, item: str, k: int = 10, *, model: str | None = None) -> pl.DataFrame:
        """The k items most like one: by a model of the run, or (None) by its visual features."""
        if model is not None:
            return self.model(model).similar_items([item], k)
        return similar_items(self.features, [item], k)

    @property
    def reports(self) -> dict[str, Report]:
        """The reports of all models that were evaluated, in the experiment's order."""
        try:
            content = read_json(self.path / "report.json")
            per_user = pl.read_parquet(self.path / "per_user.parquet")
            has_seeds = any("seeds" in found for found in content["models"].values())
            per_seed = pl.read_parquet(self.path / "per_seed.parquet") if has_seeds else per_user.clear()
        except (FileNotFoundError, ValueError, pl.exceptions.PolarsError):
            return {}
        reports = {}
        for name in self.models:
            if name in content["models"]:
                found = content["models"][name]
                protocol = content["provenance"]["protocol"]
                rows = per_seed.filter(pl.col("model") == name).drop("model")
                seeds = {
                    int(seed): _report(
                        name, one, rows.filter(pl.col("seed") == int(seed)).drop("seed"), protocol
                    )
                    for seed, one in found.get("seeds", {}).items()
                }
                own = per_user.filter(pl.col("model") == name).drop("model")
                reports[name] = replace(_report(name, found, own, protocol), by_seed=seeds)
        return reports

    @property
    def slicings(self) -> tuple[Slicing, ...]:
        """The results of groups of users, as far as they are there."""
        try:
            found = read_json(self.path / "report.json").get("slices", {})
        except (FileNotFoundError, ValueError):
            return ()
        return tuple(Slicing.from_dict(name, content) for name, content in found.items())

    @property
    def checks(self) -> dict[str, tuple[Check, ...]]:
        """Whether the explanations of each model hold, as far as it was checked."""
        try:
            found = read_json(self.path / "report.json").get("faithfulness", {})
            return {name: tuple(Check.from_dict(one) for one in of) for name, of in found.items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}  # as `reports` does: what is damaged is made anew

    @property
    def provenance(self) -> dict[str, Any]:
        """What report.json says of how it came to be; empty before the first report."""
        path = self.path / "report.json"
        try:
            return dict(read_json(path)["provenance"])
        except (FileNotFoundError, ValueError, KeyError):
            return {}  # as `reports` does: what is damaged is made anew

    @property
    def notes(self) -> list[str]:
        """What a reader of its results should know: of the data, and of how its models were learnt."""
        known = self.provenance
        return [
            *known.get("data", {}).get("notes", ()),
            *(
                f"{name}: {one}"
                for model, of in known.get("models", {}).items()
                for name, about in (
                    (model, of),
                    *((f"{model}@{seed}", s) for seed, s in of.get("seeds", {}).items()),
                )
                for one in about.get("notes", ())
            ),
        ]


def load_data(experiment: Experiment) -> Dataset:
    """The data set of an experiment, with the feedback that there is now if it names some."""
    data, source = _load_folder(experiment), experiment.data.events
    return data if source is None else fold(data, read_events(source)).data


def read_facts(path: Path) -> dict[str, Any]:
    """A JSON file of a run folder; `RunError` where it is damaged."""
    try:
        return dict(read_json(path))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}). Remove it and run the same `visrec run` again."
        ) from None


def data_digest(data: Dataset) -> str:
    """Of what a run cannot go on without. Of the items' table, models that learn from it are trained again."""
    return digest_of([data.interactions.digest, data.catalog.digest])


def filed(found: Sequence[Features], data: Dataset) -> Content:
    """Features by what they are, which settings may have made other than what they are asked for."""
    kinds: dict[str, Any] = {}
    for features in found:
        kinds.setdefault(features.kind, features)
    return Content(**kinds, metadata=data.catalog.metadata)


def _load_folder(experiment: Experiment, progress: Progress | None = None) -> Dataset:
    settings = experiment.data
    return load_dataset(
        settings.path,
        min_rating=settings.min_rating,
        missing_images=settings.missing_images,
        progress=progress,
    )


def _settings_in(folder: Path) -> dict[str, Any] | None:
    """What a trained model was made with, but for its seed; None if there is no model."""
    about = folder / "config.json"
    if not about.is_file():
        return None
    saved = read_facts(about)
    return {"features": saved["features"], **saved["config"], "seed": None}


def _report(name: str, found: Mapping[str, Any], per_user: pl.DataFrame, protocol: dict[str, Any]) -> Report:
    """A report as report.json has it."""
    return Report(
        model=name,
        metrics={key: Estimate(**value) for key, value in found["metrics"].items()},
        per_user=per_user,
        new_items={key: Estimate(**value) for key, value in found["new_items"].items()},
        protocol=protocol,
        beyond={key: Estimate(**value) for key, value in found.get("beyond", {}).items()},
        system=found.get("system", {}),
        lens=found.get("lens", {}),
    )
