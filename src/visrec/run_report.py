"""What a run's models are worth, and whether their explanations hold: report.json, its tables, and the page."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.errors import RunError
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
from visrec.experiment import FeaturesConfig
from visrec.explain.attributes import FOLDER as ATTRIBUTES
from visrec.explain.faithfulness import HEADINGS, Check, check_explanations, written
from visrec.features.extractor import versions
from visrec.features.features import META, Features
from visrec.files import replacing, write_json
from visrec.progress import Progress
from visrec.recommender import Recommender, load_model
from visrec.run_folder import FOLDERS, Run, read_facts
from visrec.stages import Stage, silent

_ASKED = 2000  # users whose lists say how popular a model's recommendations are

_VERSIONS = ("visrec", "torch", "torchvision", "timm", "numpy", "scipy", "polars", "pillow")


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
                about = read_facts(found.folder_of(name, seed) / "config.json")
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


def _by_fingerprint(report: Report | None, facts: Mapping[str, Any]) -> dict[str, Report]:
    """A model's report, or those of its seeds, by the fingerprint of the model that each is of."""
    if report is None:
        return {}
    if report.by_seed:
        return {facts["seeds"][str(seed)]["fingerprint"]: one for seed, one in report.by_seed.items()}
    return {facts["fingerprint"]: report}


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
        "data": read_facts(found.path / "data.json"),
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
    data = read_facts(found.path / "data.json")
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
