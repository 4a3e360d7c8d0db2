"""From an experiment to a run folder. What is there already and still fits is not done again.

A run folder describes itself: `{experiment.toml, data.json, features/, models/<name>/, report.json,
per_user.parquet, report.html}`, and `regions/` and `images/` where models look at these. `experiment.toml` holds
every setting, resolved.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from visrec.config import Config, digest_of
from visrec.content import Content, Kind
from visrec.data.dataset import Dataset, load_dataset
from visrec.data.splits import Split
from visrec.errors import DivergedError, RunError
from visrec.evaluation.page import write_page
from visrec.evaluation.people import Person, choose_people
from visrec.evaluation.protocol import Report, evaluate, top_items
from visrec.evaluation.significance import Estimate
from visrec.experiment import Experiment, FeaturesConfig
from visrec.features.extractor import versions
from visrec.features.features import META, Features
from visrec.files import is_temporary, read_json, replacing, sweep_temporaries, write_json
from visrec.neighbours import similar_items
from visrec.recommender import Progress, Recommender, load_model

Stage = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens a progress display with a title; the command line draws bars."""

EXTRACTING = "features: "
"""How the title of the stage begins in which features are made."""

FOLDERS: dict[Kind, str] = {"vector": "features", "regions": "regions", "image": "images"}
"""Where a run keeps the features of each kind."""

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
    def data(self) -> Dataset:
        """The data set that the run was made from; `RunError` if it has changed since."""
        data = load_data(self.experiment)
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

    def evaluated_as(self, settings: Mapping[str, Any]) -> Run:
        """The same run with other settings of [evaluation]; its experiment.toml keeps its own."""
        return replace(self, experiment=self.experiment.replace(evaluation=settings))

    @property
    def models(self) -> list[str]:
        """Names of the models of the experiment."""
        return list(self.experiment.models)

    @property
    def trained(self) -> list[str]:
        """Names of those that are trained."""
        return [name for name in self.models if (self.path / "models" / name / "config.json").is_file()]

    def model(self, name: str) -> Recommender:
        """A fitted model by its name."""
        if name not in self.experiment.models:
            raise RunError(f"{self.path}: has no model '{name}'. It has {', '.join(self.models)}.")
        folder = self.path / "models" / name
        if not folder.is_dir():
            raise RunError(
                f"{self.path}: the model '{name}' is not trained yet; `visrec run` goes on with the run."
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
        except (FileNotFoundError, ValueError, pl.exceptions.PolarsError):
            return {}
        reports = {}
        for name in self.models:
            if name in content["models"]:
                found = content["models"][name]
                reports[name] = Report(
                    model=name,
                    metrics={key: Estimate(**value) for key, value in found["metrics"].items()},
                    per_user=per_user.filter(pl.col("model") == name).drop("model"),
                    new_items={key: Estimate(**value) for key, value in found["new_items"].items()},
                    protocol=content["provenance"]["protocol"],
                    beyond={key: Estimate(**value) for key, value in found.get("beyond", {}).items()},
                    system=found.get("system", {}),
                    lens=found.get("lens", {}),
                )
        return reports

    @property
    def provenance(self) -> dict[str, Any]:
        """What report.json says of how it came to be; empty before the first report."""
        path = self.path / "report.json"
        try:
            return dict(read_json(path)["provenance"])
        except (FileNotFoundError, ValueError, KeyError):
            return {}  # as `reports` does: what is damaged is made anew


def load_data(experiment: Experiment) -> Dataset:
    """The data set of an experiment."""
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
    content = _content(found, stage)
    diverged: DivergedError | None = None
    for name in found.models:
        try:
            _model(found, name, content, stage)
        except DivergedError as error:  # the other models are still worth having
            diverged = DivergedError(
                f"models.{name}: {error} Its settings are in {found.path / 'experiment.toml'}."
            )
    if found.trained:
        evaluate_run(found, stage=stage)
    if diverged is not None:
        raise diverged
    return found


def evaluate_run(found: Run, *, stage: Stage = silent, afresh: bool = False) -> dict[str, Report]:
    """Evaluate the trained models of a run and write report.json, per_user.parquet and report.html.

    Args:
        found: the run.
        stage: opens progress displays.
        afresh: also evaluate models whose report is there and still true.

    Raises:
        RunError: none of its models is trained.
    """
    if not found.trained:
        raise RunError(
            f"{found.path}: no model is trained yet; `visrec run` with the same --out goes on with the run."
        )
    known = {} if afresh else found.reports
    before = found.provenance.get("models", {})
    cutoffs, protocol = list(found.experiment.evaluation.cutoffs), found.experiment.evaluation.protocol
    reports: dict[str, Report] = {}
    facts: dict[str, Any] = {}
    with stage("evaluating") as progress:
        for done, name in enumerate(found.trained):
            about = _read(found.path / "models" / name / "config.json")
            facts[name] = {"digest": about["digest"], **about["extra"]}
            # The fingerprint, not the digest: it holds the settings too, which decide how vectors are pooled.
            same = before.get(name, {}).get("fingerprint") == about["extra"]["fingerprint"]
            if name in known and same and known[name].is_current(cutoffs, protocol, found.content):
                reports[name] = known[name]
            else:
                report = evaluate(
                    found.model(name),
                    found.split,
                    cutoffs=tuple(cutoffs),
                    protocol=protocol,
                    content=found.content,
                )
                reports[name] = replace(report, model=name)
            if progress is not None:
                progress(done + 1, len(found.trained), "")
    _write_reports(found, reports, facts)
    with stage("drawing report.html"):
        _draw_page(found, reports)
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
    resolved = experiment.replace(models={**earlier.experiment.models, **given}).resolved()
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
        (out / "data.json").unlink(missing_ok=True)  # of a call that came to nothing
    facts = _data_facts(found)
    out.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(out)
    (out / "models").mkdir(exist_ok=True)
    sweep_temporaries(out / "models")
    found.experiment.to_toml(out / "experiment.toml")
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
    return digest_of([data.interactions.digest, data.catalog.digest])


def _data_facts(found: Run) -> dict[str, Any]:
    """What data.json holds: what the data are and how they were split."""
    data, split = found.data, found.split
    new = split.train.item_counts() == 0
    return {
        "digest": _data_digest(data),
        "path": found.experiment.data.path,
        "users": data.interactions.n_users,
        "items": data.interactions.n_items,
        "interactions": len(data.interactions),
        "items_without_image": sum(path is None for path in data.catalog.paths),
        "split": split.how,
        "train": len(split.train),
        "valid": len(split.valid),
        "test": len(split.test),
        "test_users": int((split.test.user_counts() > 0).sum()),
        "test_on_new_items": int(new[split.test.item].sum()),
        "new_items": int(new.sum()),
        "notes": list(data.notes),
    }


def _content(found: Run, stage: Stage) -> Content:
    """What the models of a run learn from; what is not there is extracted."""
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
            with stage(f"{EXTRACTING}{settings.extractor}") as progress:
                found.append(settings.extract(data.catalog, folder / name, progress=progress))
    return _filed(found, data)


def _filed(found: Sequence[Features], data: Dataset) -> Content:
    """Features by what they are, which settings may have made other than what they are asked for."""
    kinds: dict[str, Any] = {}
    for features in found:
        kinds.setdefault(features.kind, features)
    return Content(**kinds, metadata=data.catalog.metadata)


def _model(found: Run, name: str, content: Content, stage: Stage) -> None:
    """Train one model, unless it is there with the same settings, data and features."""
    model = found.experiment.build(name)
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
    folder = found.path / "models" / name
    checkpoint = found.path / "models" / f"{name}.checkpoint"
    if _fingerprint_of(folder) == fingerprint:
        checkpoint.unlink(missing_ok=True)
        return
    start = time.perf_counter()
    with stage(f"training: {name}") as progress:
        model.fit(split.train, content, valid=split.valid, checkpoint=checkpoint, progress=progress)
    seconds = time.perf_counter() - start
    if model.training_log:  # of all epochs, also those before an interruption
        seconds = sum(line["seconds"] + line["valid_seconds"] for line in model.training_log)
    model.save(folder, extra={"fingerprint": fingerprint, "seconds": round(seconds, 3)})
    checkpoint.unlink(missing_ok=True)


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint that a trained model was saved with; None if there is no model."""
    about = folder / "config.json"
    return _read(about)["extra"].get("fingerprint") if about.is_file() else None


def _write_reports(found: Run, reports: Mapping[str, Report], facts: Mapping[str, Any]) -> None:
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
    models = {name: report.as_dict() for name, report in reports.items()}
    write_json(found.path / "report.json", {"models": models, "provenance": provenance})


def _described(settings: FeaturesConfig) -> str:
    options = ", ".join(f"{key} {value}" for key, value in settings.options.items())
    return settings.extractor + (f" ({options})" if options else "")


def _draw_page(found: Run, reports: Mapping[str, Report], *, k: int = 10) -> None:
    """report.html: the comparison, and for a few users what each model shows them, as pictures."""
    split = found.split
    chosen = choose_people(reports, k=k)
    rows = split.train.users.indices(chosen)
    histories, taken = split.seen("test").histories(), split.test.histories()
    protocol = found.experiment.evaluation.protocol
    lists = {
        name: top_items(found.model(name), split, rows, k, protocol=protocol, content=found.content)
        for name in reports
    }
    people = [
        Person(
            user_id=str(user),
            history=histories.of(int(row))[::-1].tolist(),
            took=taken.of(int(row)).tolist(),
            lists={name: lists[name][place] for name in reports},
        )
        for place, (user, row) in enumerate(zip(chosen, rows, strict=True))
    ]
    data = _read(found.path / "data.json")
    warnings = [text for text in [found.provenance["protocol"]["warning"]] if text]
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
        notes=[*warnings, *data["notes"]],
    )
