"""From an experiment to a run folder. What is there already and still fits is not done again.

A run folder describes itself: `{experiment.toml, data.json, features/, models/<name>/, report.json,
per_user.parquet, report.html, plots/}`, `regions/` and `images/` where models look at these, and `events.parquet`
where feedback was folded in. `experiment.toml` holds every setting, resolved. With several seeds, the further ones
are `models/<name>@<seed>/`, and `per_seed.parquet` has the rows of each.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.config import Config, digest_of
from visrec.content import Content, Kind
from visrec.data.dataset import Dataset, load_dataset
from visrec.data.splits import Split
from visrec.errors import DivergedError, RunError
from visrec.evaluation.groups import check_slices
from visrec.evaluation.page import write_page
from visrec.evaluation.people import Person, choose_people, note_for, worst_people
from visrec.evaluation.plots.figures import figures_of
from visrec.evaluation.plots.files import write_figures
from visrec.evaluation.popularity import mean_popularity
from visrec.evaluation.protocol import Report, evaluate, targets_of, top_items
from visrec.evaluation.seeds import over_seeds
from visrec.evaluation.significance import Estimate, bootstrap
from visrec.evaluation.slices import Slicing, slice_reports
from visrec.evaluation.tasks import Protocol
from visrec.experiment import Experiment, FeaturesConfig
from visrec.explain.attributes import FOLDER as ATTRIBUTES
from visrec.explain.attributes import attribute_table
from visrec.explain.faithfulness import HEADINGS, Check, check_explanations, written
from visrec.features.extractor import versions
from visrec.features.features import META, Features
from visrec.feedback.addresses import COPY
from visrec.feedback.folding import Folded, fold
from visrec.feedback.reading import read_events
from visrec.files import is_temporary, read_json, replacing, sweep_temporaries, write_json
from visrec.neighbours import similar_items
from visrec.recommender import Progress, Recommender, load_model

Stage = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens a progress display with a title; the command line draws bars."""

FOLDERS: dict[Kind, str] = {"vector": "features", "regions": "regions", "image": "images"}
"""Where a run keeps the features of each kind."""

EXTRACTING = f"{FOLDERS['vector']}: "
"""How the title of the stage begins in which vectors are made; regions and pixels begin with the names of theirs."""
_ASKED = 2000  # users whose lists say how popular a model's recommendations are

_VERSIONS = ("visrec", "torch", "torchvision", "timm", "numpy", "scipy", "polars", "pillow")


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
        data = _load_folder(self.experiment) if self.folded is None else self.folded.data
        facts = self.path / "data.json"
        if facts.is_file() and _read(facts)["digest"] != _data_digest(data):
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
        return _filed(
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


def _load_folder(experiment: Experiment) -> Dataset:
    settings = experiment.data
    return load_dataset(settings.path, min_rating=settings.min_rating, missing_images=settings.missing_images)


def silent(title: str) -> AbstractContextManager[Progress | None]:  # noqa: ARG001
    """The stage that shows nothing."""
    return nullcontext(None)


def run(experiment: Experiment, out: str | Path, *, stage: Stage = silent) -> Run:
    """Do an experiment, or what is missing of it, into a run folder.

    Args:
        experiment: what to do.
        out: the run folder; if it holds the same experiment, only missing models and stages are done.
        stage: opens progress displays.

    Raises:
        RunError: the folder holds another experiment, or something that is not a run.
    """
    found = planned(experiment, Path(out))  # every setting is checked before anything slow begins
    _begin(found)
    kinds = {kind for name in found.models for kind in found.experiment.build(name).learns_from}
    check_slices(found.experiment.evaluation.slices, found.data.catalog, features="vector" in kinds)
    content = _content(found, stage)
    if found.experiment.attributes:
        with stage("measuring the pictures, for explanations") as progress:
            attribute_table(found.data.catalog, found.path / ATTRIBUTES, progress=progress)
    diverged: DivergedError | None = None
    for name, seed in _to_train(found.experiment):
        try:
            _model(found, name, seed, content, stage)
        except DivergedError as error:  # the other models are still worth having
            which = name if found.experiment.seeds == 1 or seed is None else f"{name}, seed {seed}"
            diverged = DivergedError(
                f"models.{which}: {error} Its settings are in {found.path / 'experiment.toml'}."
            )
    if found.trained:
        evaluate_run(found, stage=stage)
    if diverged is not None:
        raise diverged
    return found


def evaluate_run(
    found: Run, *, stage: Stage = silent, afresh: bool = False, slices: Sequence[str] | None = None
) -> dict[str, Report]:
    """Evaluate the trained models of a run; write report.json, per_user.parquet, report.html and plots/.

    Args:
        found: the run.
        stage: opens progress displays.
        afresh: also evaluate models whose report is there and still true.
        slices: groups of users that have results of their own; None: those of the experiment.

    Raises:
        ConfigError: there is no such slice.
        RunError: none of its models is trained.
    """
    if not found.trained:
        raise RunError(
            f"{found.path}: no model is trained yet; `visrec run` with the same --out goes on with the run."
        )
    names = found.experiment.evaluation.slices if slices is None else tuple(slices)
    vectors = found.content.vector if found.has("vector") else None
    check_slices(names, found.data.catalog, features=vectors)
    known = {} if afresh else found.reports
    before = found.provenance.get("models", {})
    cutoffs, protocol = list(found.experiment.evaluation.cutoffs), found.experiment.evaluation.protocol
    reports: dict[str, Report] = {}
    facts: dict[str, Any] = {}
    with stage("evaluating") as progress:
        for done, name in enumerate(found.trained):
            kept = _by_fingerprint(known.get(name), before.get(name, {}))
            trained, seeds = {}, {}
            for seed in found.trained_seeds(name):
                about = _read(found.folder_of(name, seed) / "config.json")
                trained[seed] = {"digest": about["digest"], **about["extra"]}
                # The fingerprint, not the digest: it holds the settings too, which decide how vectors are pooled.
                report = kept.get(about["extra"]["fingerprint"])
                if report is None or not report.is_current(cutoffs, protocol, found.content):
                    report = evaluate(
                        found.model(name, seed=seed),
                        found.split,
                        cutoffs=tuple(cutoffs),
                        protocol=protocol,
                        content=found.content,
                    )
                seeds[0 if seed is None else seed] = replace(report, model=name)
            reports[name] = over_seeds(seeds)
            own = {"seeds": {str(seed): fact for seed, fact in trained.items()}} if len(trained) > 1 else {}
            facts[name] = next(iter(trained.values())) | own
            if progress is not None:
                progress(done + 1, len(found.trained), "")
    with stage("slices"):
        slicings = slice_reports(
            reports, found.split, names=names, catalog=found.data.catalog, features=vectors
        )
    with stage("checking explanations") as progress:
        checks = _checks(found, facts, progress, known={} if afresh else found.checks)
    _write_reports(found, reports, facts, slicings, checks)
    with stage("drawing report.html"):
        _draw_page(found, reports, slicings, checks)
    return reports


def planned(experiment: Experiment, out: Path) -> Run:
    """The run that is to be done, every setting checked and written out. Writes nothing.

    Raises:
        ConfigError: a setting is wrong.
        RunError: the folder holds another experiment, or something that is not a run.
    """
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; --out must be a folder.")
    if not (out / "experiment.toml").is_file():
        if out.is_dir() and not all(is_temporary(path) for path in out.iterdir()):
            raise RunError(f"{out}: is not empty and not a run folder; choose another --out.")
        return Run(out, experiment.resolved())
    earlier = Run.load(out)
    made = {kind for kind in FOLDERS if earlier.has(kind)}
    if not (earlier.trained or made):  # nothing came of it: settings may change
        return Run(out, experiment.resolved())
    # Models of earlier calls stay in the comparison; settings given now win, a name alone takes those it had.
    given = {name: s for name, s in experiment.models.items() if s or name not in earlier.experiment.models}
    # So do seeds and the evaluation, where they are not given.
    kept = {
        name: getattr(earlier.experiment, name)
        for name in ("seeds", "evaluation", "attributes")
        if name not in experiment.model_fields_set
    }
    resolved = experiment.replace(models={**earlier.experiment.models, **given}, **kept).resolved()
    parts = {name: (getattr(earlier.experiment, name), getattr(resolved, name)) for name in ("data", "seed")}
    parts |= {FOLDERS[kind]: (earlier.experiment.content(kind), resolved.content(kind)) for kind in made}
    for part, (old, new) in parts.items():
        if old != new:
            raise RunError(
                f"{out}: holds a run with other settings of [{part}] ({_difference(old, new)}). "
                f"Choose another --out folder, or give the same settings."
            )
    return Run(out, resolved)


def _begin(found: Run) -> None:
    """Write what the run is: experiment.toml and data.json. The data are read first, so that faults leave nothing."""
    out = found.path
    if not found.trained and not any((out / folder).exists() for folder in FOLDERS.values()):
        for name in ("data.json", COPY):  # of a call that came to nothing
            (out / name).unlink(missing_ok=True)
    facts = _data_facts(found)
    out.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(out)
    (out / "models").mkdir(exist_ok=True)
    sweep_temporaries(out / "models")
    found.experiment.to_toml(out / "experiment.toml")
    if found.events is not None and not (out / COPY).is_file():
        with replacing(out / COPY) as temporary:
            found.events.write_parquet(temporary)
    write_json(out / "data.json", facts)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of a run folder; `RunError` where it is damaged."""
    try:
        return dict(read_json(path))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}). Remove it and run the same `visrec run` again."
        ) from None


def _difference(old: Any, new: Any) -> str:
    if not isinstance(old, Config):
        return f"{old} there, {new} now"
    pairs = [(key, getattr(old, key), getattr(new, key)) for key in type(old).model_fields]
    return "; ".join(f"{key} = {a!r} there, {b!r} now" for key, a, b in pairs if a != b)


def _data_digest(data: Dataset) -> str:
    """Of what a run cannot go on without. Of the items' table, models that learn from it are trained again."""
    return digest_of([data.interactions.digest, data.catalog.digest])


def _data_facts(found: Run) -> dict[str, Any]:
    """What data.json holds: what the data are and how they were split."""
    data, split = found.data, found.split
    new = split.train.item_counts() == 0
    return {
        "digest": _data_digest(data),
        "metadata": data.catalog.metadata_digest,
        "path": found.experiment.data.path,
        "users": data.interactions.n_users,
        "items": data.interactions.n_items,
        "interactions": len(data.interactions),
        "items_without_image": sum(path is None for path in data.catalog.paths),
        "split": split.how,
        "split_digest": digest_of([split.train.digest, split.valid.digest, split.test.digest]),
        "train": len(split.train),
        "valid": len(split.valid),
        "test": len(split.test),
        "test_users": int((split.test.user_counts() > 0).sum()),
        "test_on_new_items": int(new[split.test.item].sum()),
        "new_items": int(new.sum()),
        **({} if found.folded is None else {"events": found.folded.facts}),
        "notes": list(data.notes),
    }


def _content(found: Run, stage: Stage) -> Content:
    """What the models of a run learn from; what is not there is extracted, or taken from where it is."""
    kinds = {kind for name in found.models for kind in found.experiment.build(name).learns_from}
    lacking = {kind for kind in kinds if not found.has(kind)}  # what is there fits, or `planned` had refused
    content_of(found.experiment, found.data, found.path, lacking, stage=stage)
    return found.content


def content_of(
    experiment: Experiment, data: Dataset, folder: Path, kinds: Collection[Kind], *, stage: Stage = silent
) -> Content:
    """Features of some kinds as an experiment says, kept in a folder; what is there already costs next to nothing."""
    found: list[Features] = []
    for kind, name in FOLDERS.items():
        if kind in kinds:
            settings = experiment.content(kind)
            with stage(f"{name}: {settings.name}") as progress:
                found.append(
                    settings.extract(
                        data.catalog,
                        folder / name,
                        kind="regions" if kind == "regions" else "vector",
                        missing_images=experiment.data.missing_images,
                        progress=progress,
                    )
                )
    return _filed(found, data)


def _filed(found: Sequence[Features], data: Dataset) -> Content:
    """Features by what they are, which settings may have made other than what they are asked for."""
    kinds: dict[str, Any] = {}
    for features in found:
        kinds.setdefault(features.kind, features)
    return Content(**kinds, metadata=data.catalog.metadata)


def _to_train(experiment: Experiment) -> list[tuple[str, int | None]]:
    """Models and seeds, the first seed of every model before any further one."""
    seeds = {name: experiment.seeds_of(name) for name in experiment.models}
    return [(name, mine[n]) for n in range(experiment.seeds) for name, mine in seeds.items() if n < len(mine)]


def _model(found: Run, name: str, seed: int | None, content: Content, stage: Stage) -> None:
    """Train one model, unless it is there with the same settings, data and features."""
    model = found.experiment.build(name, seed=seed)
    split = found.split
    fingerprint = digest_of(
        {
            "model": type(model).__name__,
            "config": model.config.model_dump(mode="json"),
            "train": split.train.digest,
            "valid": split.valid.digest,
            **model.content_digests(content),
        }
    )
    folder = found.folder_of(name, seed)
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    if _fingerprint_of(folder) == fingerprint:
        checkpoint.unlink(missing_ok=True)
        return
    start = time.perf_counter()
    with stage(f"training: {folder.name}") as progress:
        model.fit(split.train, content, valid=split.valid, checkpoint=checkpoint, progress=progress)
    seconds = time.perf_counter() - start
    if model.training_log:  # of all epochs, also those before an interruption
        seconds = sum(line["seconds"] + line["valid_seconds"] for line in model.training_log)
    notes = {"notes": list(model.notes)} if model.notes else {}
    model.save(folder, extra={"fingerprint": fingerprint, "seconds": round(seconds, 3), **notes})
    checkpoint.unlink(missing_ok=True)


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint that a trained model was saved with; None if there is no model."""
    about = folder / "config.json"
    return _read(about)["extra"].get("fingerprint") if about.is_file() else None


def _settings_in(folder: Path) -> dict[str, Any] | None:
    """What a trained model was made with, but for its seed; None if there is no model."""
    about = folder / "config.json"
    if not about.is_file():
        return None
    saved = _read(about)
    return {"features": saved["features"], **saved["config"], "seed": None}


def _by_fingerprint(report: Report | None, facts: Mapping[str, Any]) -> dict[str, Report]:
    """A model's report, or those of its seeds, by the fingerprint of the model that each is of."""
    if report is None:
        return {}
    if report.by_seed:
        return {facts["seeds"][str(seed)]["fingerprint"]: one for seed, one in report.by_seed.items()}
    return {facts["fingerprint"]: report}


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


def _checks(
    found: Run,
    facts: Mapping[str, Any],
    progress: Progress | None,
    *,
    known: Mapping[str, tuple[Check, ...]],
) -> dict[str, tuple[Check, ...]]:
    """Whether the explanations of each model hold; what was checked of the same model before is kept."""
    before = found.provenance.get("models", {})
    folder = found.path / ATTRIBUTES
    attributes = Features.load(folder) if (folder / META).is_file() else None
    checks = {}
    for done, name in enumerate(facts, start=1):
        same = before.get(name, {}).get("fingerprint") == facts[name]["fingerprint"]
        if same and name in known:
            checks[name] = known[name]
        else:
            checks[name] = check_explanations(
                load_model(found.folder_of(name), found.content), found.content, attributes=attributes
            )
        if progress is not None:
            progress(done, len(facts), "")
    return checks


def _write_reports(
    found: Run,
    reports: Mapping[str, Report],
    facts: Mapping[str, Any],
    slicings: Sequence[Slicing],
    checks: Mapping[str, Sequence[Check]],
) -> None:
    protocol = next(iter(reports.values())).protocol
    provenance = {
        "protocol": protocol,
        "data": _read(found.path / "data.json"),
        "features": None,
        **{
            FOLDERS[features.kind]: {"digest": features.digest, **features.provenance}
            for features in (found.content.vector, found.content.regions, found.content.image)
            if features is not None
        },
        "models": facts,
        "seed": found.experiment.seed,
        "versions": versions(*_VERSIONS),
        "machine": {
            "python": sys.version.split()[0],
            "system": platform.platform(),
            "cpu": platform.machine(),
        },
    }
    rows = [report.per_user.with_columns(pl.lit(name).alias("model")) for name, report in reports.items()]
    with replacing(found.path / "per_user.parquet") as temporary:
        pl.concat(rows).select("model", pl.exclude("model")).write_parquet(temporary)
    seeds = [
        one.per_user.with_columns(pl.lit(name).alias("model"), pl.lit(seed).alias("seed"))
        for name, report in reports.items()
        for seed, one in report.by_seed.items()
    ]
    if seeds:
        with replacing(found.path / "per_seed.parquet") as temporary:
            pl.concat(seeds).select("model", "seed", pl.exclude("model", "seed")).write_parquet(temporary)
    else:
        (found.path / "per_seed.parquet").unlink(missing_ok=True)
    models = {name: report.as_dict() for name, report in reports.items()}
    slices = {one.name: one.as_dict() for one in slicings}
    faithfulness = {name: [one.as_dict() for one in of] for name, of in checks.items()}
    content = {"models": models, "slices": slices, "faithfulness": faithfulness, "provenance": provenance}
    write_json(found.path / "report.json", content)


def _described(settings: FeaturesConfig) -> str:
    if settings.path is not None:
        return f"{settings.name} (as they were)"
    options = ", ".join(f"{key} {value}" for key, value in settings.options.items())
    return settings.extractor + (f" ({options})" if options else "")


def _draw_page(
    found: Run,
    reports: Mapping[str, Report],
    slicings: Sequence[Slicing],
    checks: Mapping[str, Sequence[Check]],
    *,
    k: int = 10,
) -> None:
    """report.html and plots/: the comparison, plots, and for a few users what each model shows them, as pictures."""
    split = found.split
    # Lists are those of the first seed, so what is said of them must be too.
    judged = {name: next(iter(report.by_seed.values()), report) for name, report in reports.items()}
    chosen = choose_people(judged, k=k)
    chosen += worst_people(judged, but=chosen)
    rows = split.train.users.indices(chosen)
    histories = split.seen("test").histories()
    protocol, metadata = found.experiment.evaluation.protocol, found.data.catalog.metadata
    taken = targets_of(split, rows, protocol=protocol, metadata=metadata)
    lists, popularity = {}, {}
    for name in reports:
        model = found.model(name)
        lists[name] = top_items(model, split, rows, k, protocol=protocol, content=found.content)
        popularity[name] = _popularity(found, model, judged[name])
    people = [
        Person(
            user_id=str(user),
            history=histories.of(int(row))[::-1].tolist(),
            took=taken.of(place).tolist(),
            lists={name: lists[name][place] for name in reports},
        )
        for place, (user, row) in enumerate(zip(chosen, rows, strict=True))
    ]
    people = [replace(person, note=note_for(person, judged)) for person in people]
    trained = found.provenance["models"]
    configs = {name: found.experiment.build(name).config for name in reports}
    figures = figures_of(
        reports,
        slicings=slicings,
        seconds={name: trained[name]["seconds"] for name in reports},
        popularity=popularity,
        logs={name: _training_log(found.path / "models" / name) for name in reports},
        valid_metrics={
            name: config.valid_metric for name, config in configs.items() if hasattr(config, "valid_metric")
        },
    )
    write_figures(found.path / "plots", figures)
    data = _read(found.path / "data.json")
    shown = [
        ("users", f"{data['users']:,}"),
        ("items", f"{data['items']:,}"),
        ("interactions", f"{data['interactions']:,}"),
        ("held-out interactions", f"{data['test']:,}"),
        ("items nobody took in training", f"{data['new_items']:,}"),
        *(
            (folder, _described(found.experiment.content(kind)))
            for kind, folder in FOLDERS.items()
            if found.has(kind)
        ),
    ]
    write_page(
        found.path / "report.html",
        title=found.experiment.title or Path(found.experiment.data.path).name,
        facts=shown,
        reports=reports,
        people=people,
        catalog=found.data.catalog,
        provenance=found.provenance,
        notes=found.notes,
        figures=figures,
        checks=(HEADINGS, written(checks)),
    )


def _popularity(found: Run, model: Recommender, report: Report) -> Estimate:
    """How popular what a model recommends is, over all users or as many of them as are quickly asked."""
    split, evaluation = found.split, found.experiment.evaluation
    users = split.train.users.indices(report.per_user["user_id"].to_list())
    if len(users) > _ASKED:
        users = np.sort(np.random.default_rng(0).choice(users, _ASKED, replace=False))
    items = top_items(
        model, split, users, evaluation.cutoffs[0], protocol=evaluation.protocol, content=found.content
    )
    return bootstrap(mean_popularity(items, split.train.item_counts()))


def _training_log(folder: Path) -> list[dict[str, Any]]:
    """One entry an epoch; empty for a model that is not trained in epochs."""
    path = folder / "training.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
