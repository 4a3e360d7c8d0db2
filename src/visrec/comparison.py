"""Features side by side: a run for each extractor, on the same data and users, and one table of them all.

A comparison's folder: `{<extractor>/, random/, costs.json, comparison.csv, comparison.json, comparison.html,
contact-sheet.jpg}`. Each of its folders is an ordinary run, so what is there is not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visrec.comparison_plan import BASELINE, baseline_of, learns_from_features, plan, runs_in
from visrec.costs import UNKNOWN, pace_of, timed
from visrec.errors import ConfigError, DivergedError, FeaturesError
from visrec.evaluation.contact_sheet import Neighbours, choose_queries, draw_sheet
from visrec.evaluation.protocol import Report
from visrec.evaluation.transfer import Comparison, FeatureFacts, compare
from visrec.evaluation.transfer_page import sheet_thumbnails, write_comparison_page
from visrec.experiment import Experiment
from visrec.features.architectures import SOURCES
from visrec.features.networks import Network, facts
from visrec.files import write_json, write_text
from visrec.neighbours import similar_items
from visrec.run_folder import Run
from visrec.run_report import evaluate_run
from visrec.runs import run
from visrec.stages import Stage, silent

COSTS = "costs.json"

_NEIGHBOURS = 10


def compare_features(
    base: Experiment,
    extractors: Sequence[str],
    out: str | Path,
    *,
    queries: int = 6,
    stage: Stage = silent,
) -> Comparison:
    """Run the models of an experiment on the features of several extractors, and put the results side by side.

    What is in `out` already and still fits is not done again, and extractors of earlier calls stay in the table.
    An extractor that fails, or on which a model diverges, does not cost the others: see `Comparison.failures`.

    Args:
        base: data, models and seed; its models all learn from features. Its features' settings are those of each
            extractor: weights by name or for all networks, options for those that have them, or "extractor.option".
        extractors: names, as `visrec extractors` lists them.
        out: the folder.
        queries: how many items the contact sheet asks for; 0: there is none.
        stage: opens progress displays.

    Raises:
        ConfigError: a name is unknown or comes twice, or a model learns from no features.
        RunError: the folder holds a comparison of other data or settings, or something else.
        FeaturesError: nothing came of any extractor.
    """
    out = Path(out)
    runs = plan(base, extractors, out)  # every setting is checked before anything slow begins
    failures: dict[str, str] = {}
    for name, one in runs.items():
        try:
            run(one.experiment, one.path, stage=timed(stage, name, one.path / "features", out / COSTS))
        except (ConfigError, FeaturesError, DivergedError) as error:  # the others are still worth having
            failures[name] = str(error)
    reports = {name: _reports(one, stage) for name, one in runs_in(out).items()}
    found = {name: one for name, one in runs_in(out).items() if reports[name]}
    if not found:
        raise FeaturesError(_failed(failures))
    first = next(iter(found.values()))
    chance = run(baseline_of(first.experiment), out / BASELINE, stage=stage).reports[BASELINE]
    entries = [(_facts(one, out), reports[name]) for name, one in found.items()]
    notes = list(chance.protocol["cautions"])
    notes += [UNKNOWN] if any(one.images_per_second is None for one, _ in entries) else []
    cutoff = first.experiment.evaluation.cutoffs[0]
    comparison = compare(entries, chance, k=cutoff, failures=failures, notes=notes)
    write_text(out / "comparison.csv", comparison.to_csv())
    write_json(out / "comparison.json", {**comparison.to_json(), "provenance": _provenance(found)})
    with stage("drawing comparison.html"):
        _draw(out, comparison, {one.extractor: found[one.extractor] for one in comparison.features}, queries)
    return comparison


def check(comparison: Comparison) -> None:
    """Raise `FeaturesError` if an extractor, or a model on one, is not in a comparison as it should be."""
    if comparison.failures:
        raise FeaturesError(_failed(comparison.failures))


def _failed(failures: Mapping[str, str]) -> str:
    """One line about all that failed."""
    causes = " ".join(f"{name}: {' '.join(why.split())}" for name, why in failures.items())
    return f"Failed with {', '.join(failures)}. {causes} The same command goes on with what is missing."


# ---- what is found ---------------------------------------------------------------------------------


def _reports(one: Run, stage: Stage) -> dict[str, Report]:
    """The reports of a run's models that learn from features; old ones are made anew."""
    cutoffs = list(one.experiment.evaluation.cutoffs)
    reports = one.reports
    if not all(report.is_current(cutoffs) for report in reports.values()):
        reports = evaluate_run(one, stage=stage)
    return {name: report for name, report in reports.items() if learns_from_features(one.experiment, name)}


def _facts(one: Run, out: Path) -> FeatureFacts:
    settings, features = one.experiment.features, one.features
    weights = features.provenance.get("weights")
    is_plain = settings.weights in ("default", "random")
    known = _imagenet(features.provenance)
    return FeatureFacts(
        extractor=settings.extractor,
        weights=None if weights is None else f"{settings.weights if is_plain else weights}",
        dim=features.dim,
        bytes=sum(path.stat().st_size for path in (one.path / "features").rglob("*")),
        top1=known.top1 if known else None,
        top5=known.top5 if known else None,
        top1_kind=known.top1_kind if known else None,
        images_per_second=pace_of(features, settings.extractor, out / COSTS),
    )


def _imagenet(provenance: Mapping[str, Any]) -> Network | None:
    """The network whose published accuracy counts; None for what is none, or has random weights."""
    if provenance.get("weights") == "random" or provenance.get("source") not in SOURCES:
        return None
    return facts(str(provenance["source"]), str(provenance["extractor"]).rpartition(":")[2])


def _provenance(found: Mapping[str, Run]) -> dict[str, Any]:
    """How the results came about: what all runs have in common, and the features of each."""
    first = next(iter(found.values()))
    common = {key: value for key, value in first.provenance.items() if key not in ("features", "models")}
    settings = {name: table for one in found.values() for name, table in one.experiment.models.items()}
    return {
        **common,
        "models": settings,
        "features": {name: one.provenance["features"] for name, one in found.items()},
    }


# ---- pictures --------------------------------------------------------------------------------------


def _draw(out: Path, comparison: Comparison, found: Mapping[str, Run], queries: int) -> None:
    """comparison.html and contact-sheet.jpg; `found` in the order of the table."""
    first = next(iter(found.values()))
    data, catalog = first.provenance["data"], first.data.catalog
    sheet = _sheet(found, queries)
    thumbnails = sheet_thumbnails(catalog, sheet)
    shown = [
        ("users", f"{data['users']:,}"),
        ("items", f"{data['items']:,}"),
        ("interactions", f"{data['interactions']:,}"),
        ("held-out interactions", f"{data['test']:,}"),
        ("extractors", str(len(found))),
        ("models", ", ".join(comparison.models)),
    ]
    write_comparison_page(
        out / "comparison.html",
        comparison,
        title=f"Features for {first.experiment.title or Path(first.experiment.data.path).name}",
        facts=shown,
        sheet=sheet,
        catalog=catalog,
        thumbnails=thumbnails,
        provenance=_provenance(found),
        notes=first.notes,
    )
    if sheet:
        draw_sheet(out / "contact-sheet.jpg", sheet, thumbnails)
    else:
        (out / "contact-sheet.jpg").unlink(missing_ok=True)


def _sheet(found: Mapping[str, Run], queries: int) -> list[Neighbours]:
    """The nearest items by each extractor, of items that all of them have a vector of."""
    first = next(iter(found.values()))
    pictured = first.data.catalog.pictured
    values = {name: one.features.vectors for name, one in found.items()}
    asked = choose_queries(values, first.split.train.item_counts(), queries, among=pictured)
    if not asked:
        return []
    items = first.data.catalog.items
    rows: dict[str, list[np.ndarray]] = {}
    for name, one in found.items():
        table = similar_items(one.features, items.take(np.array(asked)).to_list(), _NEIGHBOURS)
        near = items.indices(table["item_id"].to_list())
        owner = items.indices(table["query_id"].to_list())
        rows[name] = [near[owner == item] for item in asked]
    return [
        Neighbours(item, {name: rows[name][place].tolist() for name in found})
        for place, item in enumerate(asked)
    ]
