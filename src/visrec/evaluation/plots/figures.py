"""The plots of a run: what each shows, and the data behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from visrec.evaluation.groups import quantile_bins, range_labels
from visrec.evaluation.leaderboard import heading_of
from visrec.evaluation.markup import over
from visrec.evaluation.plots.curves import curves
from visrec.evaluation.plots.dots import Row, dots
from visrec.evaluation.plots.drawing import Drawing
from visrec.evaluation.plots.scatter import Point, drawn, scatter
from visrec.evaluation.plots.violins import Sample, violins
from visrec.evaluation.slices import SMALLEST, Slicing

if TYPE_CHECKING:
    from visrec.evaluation.protocol import Report
    from visrec.evaluation.significance import Estimate

_QUICKEST = 0.001  # seconds: what took less is shown as this, for a logarithm needs more than nothing
_TOO_SMALL = "too few to say"
_PANEL = (420, 320)  # pixels: it is read on a phone as it is


@dataclass(frozen=True, eq=False)
class Figure:
    """A plot of one or more panels.

    Attributes:
        name: of its files.
        title: a question, or what is shown.
        lead: how to read it.
        drawings: the panels.
        data: what was drawn, as a table.
        legend: the models in the order of their shapes; empty where each stands beside what is its own.
    """

    name: str
    title: str
    lead: str
    drawings: tuple[Drawing, ...]
    data: pl.DataFrame
    legend: tuple[str, ...] = ()


def figures_of(
    reports: Mapping[str, Report],
    *,
    slicings: Sequence[Slicing] = (),
    seconds: Mapping[str, float] | None = None,
    popularity: Mapping[str, Estimate] | None = None,
    logs: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    valid_metrics: Mapping[str, str] | None = None,
) -> list[Figure]:
    """All plots that there are data for.

    Args:
        reports: by the name of the model; their order decides shapes and colours.
        slicings: see `visrec.evaluation.slices`.
        seconds: how long each model took to fit.
        popularity: mean popularity percentile of what each model recommends.
        logs: the training log of each model, empty for those that are not trained in epochs.
        valid_metrics: the metric that a model's training watched.
    """
    metric = main_metric(reports)
    found = [
        slices_figure(slicings, list(reports), metric),
        history_figure(reports),
        popularity_figure(reports, metric, popularity or {}),
        cost_figure(reports, metric, seconds or {}),
        training_figure(list(reports), logs or {}, valid_metrics or {}),
    ]
    return [one for one in found if one is not None]


def main_metric(reports: Mapping[str, Report]) -> str:
    """nDCG at the first cutoff, or where there is none the first metric."""
    first = next(iter(reports.values()))
    name = f"ndcg@{first.protocol['cutoffs'][0]}"
    return name if name in first.metrics else next(iter(first.metrics))


def slices_figure(slicings: Sequence[Slicing], models: Sequence[str], metric: str) -> Figure | None:
    """Means over groups of users, a panel a way to divide them."""
    if not slicings:
        return None
    estimates = [
        found[metric]
        for one in slicings
        for piece in one.slices
        if not piece.is_too_small
        for found in piece.models.values()
        if metric in found
    ]
    scale = [end for one in estimates for end in (one.low, one.high)]
    panels = []
    for slicing in slicings:
        rows = [
            Row(
                piece.label,
                f"n = {piece.n_users:,}" + (f", {_TOO_SMALL}" if piece.is_too_small else ""),
                {}
                if piece.is_too_small
                else {model: found[metric] for model, found in piece.models.items() if metric in found},
            )
            for piece in slicing.slices
        ]
        panels.append(dots(slicing.heading, rows, models=models, scale=scale, x_title=heading_of(metric)))
    data = [
        {
            "slicing": slicing.name,
            "slice": piece.label,
            "n_users": piece.n_users,
            "too_small": piece.is_too_small,
            "model": model,
            "metric": metric,
            **vars(found[metric]),
        }
        for slicing in slicings
        for piece in slicing.slices
        for model, found in piece.models.items()
        if metric in found
    ]
    return Figure(
        "slices",
        "Who is served how well",
        f"{heading_of(metric)} of each model over some of the users, with its 95 % interval over users alone; all "
        f"panels have one scale. n is the number of users. Groups of fewer than {SMALLEST} are too small to say "
        f"anything.",
        tuple(panels),
        pl.DataFrame(data),
        tuple(models),
    )


def history_figure(reports: Mapping[str, Report]) -> Figure | None:
    """The distribution of AUC over users by the number of items in their history."""
    if not all("auc" in one.per_user.columns for one in reports.values()):
        return None
    panels, data = [], []
    for group, (name, report) in enumerate(reports.items()):
        lengths = report.per_user["n_history"].to_numpy()
        auc = report.per_user["auc"].to_numpy()
        bins = quantile_bins(lengths)
        labels = range_labels(lengths, bins)
        samples = [Sample(label, auc[bins == place]) for place, label in enumerate(labels)]
        panels.append(
            violins(
                name,
                samples,
                group=group,
                x_title="items in the history",
                y_title="AUC of a user",
                smallest=SMALLEST,
            )
        )
        for one in samples:
            low, median, high = np.quantile(one.values, [0.25, 0.5, 0.75])
            data.append(
                {
                    "model": name,
                    "items in the history": one.label,
                    "n_users": len(one.values),
                    "mean": float(one.values.mean()),
                    "lower quartile": float(low),
                    "median": float(median),
                    "upper quartile": float(high),
                }
            )
    return Figure(
        "history",
        "What a longer history gives",
        "How the AUC of single users is distributed, by how much of them was known. The wider a shape, the more "
        "users are there; the box is the middle half of them, its line the median, the diamond the mean. Few users "
        "are drawn as rings, one each. The values of each user are in per_user.parquet.",
        tuple(panels),
        pl.DataFrame(data),
    )


def popularity_figure(
    reports: Mapping[str, Report], metric: str, popularity: Mapping[str, Estimate]
) -> Figure | None:
    """Accuracy against how popular the recommended items are."""
    known = [name for name in reports if name in popularity]
    if len(known) < 2:
        return None
    points = [Point(name, name, 100 * popularity[name].mean, reports[name].metrics[metric]) for name in known]
    x_title = "mean popularity percentile of the recommended"
    plot = scatter(points, x_title=x_title, y_title=heading_of(metric), size=_PANEL)
    data = [
        {
            "model": name,
            **{f"popularity percentile {key}": 100 * value for key, value in vars(popularity[name]).items()},
            **{f"{metric} {key}": value for key, value in vars(reports[name].metrics[metric]).items()},
        }
        for name in known
    ]
    return Figure(
        "popularity",
        "Accuracy and popularity",
        "Whether a model earns its accuracy by recommending what everybody takes: 50 is as popular as items drawn "
        f"at random, 100 the most popular item alone. Bars are 95 % intervals {over(reports)}.",
        (drawn(plot, f"{heading_of(metric)} of each model against the {x_title}. {_pairs(data, 1, 4)}"),),
        pl.DataFrame(data),
    )


def cost_figure(reports: Mapping[str, Report], metric: str, seconds: Mapping[str, float]) -> Figure | None:
    """Quality against the time that fitting took."""
    known = [name for name in reports if name in seconds]
    if len(known) < 2:
        return None
    took = {name: max(seconds[name], _QUICKEST) for name in known}
    points = [Point(name, name, took[name], reports[name].metrics[metric]) for name in known]
    plot = scatter(points, x_title="seconds of fitting", y_title=heading_of(metric), log=True, size=_PANEL)
    data = [
        {
            "model": name,
            "seconds": seconds[name],
            **{f"{metric} {key}": value for key, value in vars(reports[name].metrics[metric]).items()},
        }
        for name in known
    ]
    return Figure(
        "cost",
        "Cost and quality",
        "What a model takes to fit, on the machine that did it; extracting features is not counted. The axis is "
        f"logarithmic. Bars are 95 % intervals {over(reports)}.",
        (
            drawn(
                plot,
                f"{heading_of(metric)} of each model against the seconds of fitting. {_pairs(data, 1, 2)}",
            ),
        ),
        pl.DataFrame(data),
    )


def training_figure(
    models: Sequence[str], logs: Mapping[str, Sequence[Mapping[str, Any]]], valid_metrics: Mapping[str, str]
) -> Figure | None:
    """Loss and validation metric over the epochs, a panel a model."""
    trained = {name: logs[name] for name in models if logs.get(name)}
    if not trained:
        return None
    panels, data = [], []
    for name, lines in trained.items():
        watched = all("valid" in line for line in lines)
        metric = valid_metrics.get(name, "metric")
        panels.append(
            curves(
                name,
                [int(line["epoch"]) for line in lines],
                group=list(models).index(name),
                loss=[float(line["loss"]) for line in lines],
                metric=[float(line["valid"]) for line in lines] if watched else None,
                metric_name=heading_of(metric),
            )
        )
        data += [
            {
                "model": name,
                "epoch": int(line["epoch"]),
                "loss": float(line["loss"]),
                "validation metric": metric if watched else None,
                "validation": float(line["valid"]) if watched else None,
                "seconds": float(line["seconds"]),
            }
            for line in lines
        ]
    others = [name for name in models if name not in trained]
    rest = f" Not trained in epochs: {', '.join(others)}." if others else ""
    return Figure(
        "training",
        "How training went",
        "The metric on the validation part, which decides when to stop and which epoch is kept (marked), and the "
        f"loss. Losses of different models are not to be compared.{rest}",
        tuple(panels),
        pl.DataFrame(data),
    )


def _pairs(data: Sequence[Mapping[str, Any]], x: int, y: int) -> str:
    """The points of a plot in words."""
    rows = [list(row.values()) for row in data]
    return "; ".join(f"{row[0]}: {row[x]:.4g}, {row[y]:.4f}" for row in rows) + "."
