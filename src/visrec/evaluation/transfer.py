"""Extractors side by side: what their features are worth for recommending, and what their networks on ImageNet.

The table of del Rio et al. 2018, "Do Better ImageNet Models Transfer Better… for Image Recommendation?".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from visrec.errors import ConfigError, RunError
from visrec.evaluation.correlation import RankCorrelation, rank_correlation
from visrec.evaluation.leaderboard import LEVEL_MARK, written
from visrec.evaluation.significance import Estimate, bootstrap

if TYPE_CHECKING:
    from rich.table import Table

    from visrec.evaluation.protocol import Report
    from visrec.features.networks import Top1Kind

HEADINGS = {"recall": "R", "precision": "P", "rr": "MRR", "ndcg": "nDCG"}
"""The metrics at k, in the order of their columns."""

KIND_MARKS = {"linear probe": "†", "zero-shot": "‡"}
"""Beside an accuracy on ImageNet that is not of a network trained on its labels: these are not one scale."""

KIND_MEANINGS = {
    "linear probe": "a linear layer learnt on the frozen features",
    "zero-shot": "the nearest of the classes' names, no label having been learnt",
}


@dataclass(frozen=True)
class FeatureFacts:
    """What is known of an extractor and of its features.

    Attributes:
        extractor: what to type to have it.
        weights: "default", "random", or a file's name; None where it has none.
        dim: F, the length of a vector.
        bytes: that the features take on disk.
        top1: accuracy of its network on ImageNet, in percent, as published; None where there is none.
        top5: the same among its five best guesses.
        top1_kind: how that was measured, as `visrec.features.networks.Top1Kind`; None where it was not.
        images_per_second: as measured when they were extracted; None where that was not seen.
    """

    extractor: str
    weights: str | None
    dim: int
    bytes: int
    top1: float | None = None
    top5: float | None = None
    top1_kind: Top1Kind | None = None
    images_per_second: float | None = None


@dataclass(frozen=True)
class Row:
    """A model that was given an extractor's features.

    Attributes:
        model: its name.
        features: what it was given; None: the baseline, which looks at nothing.
        metrics: "recall@k", "precision@k", "rr@k", "ndcg@k".
        is_best: by metric, whether nothing is displayed as better among the rows of the same model. Never True
            without a rival.
        behind: nDCG@k of the model's best row minus this one's, over the same users; None for the best and the
            baseline.
    """

    model: str
    features: FeatureFacts | None
    metrics: Mapping[str, Estimate]
    is_best: Mapping[str, bool] = field(default_factory=dict)
    behind: Estimate | None = None

    @property
    def extractor(self) -> str:
        """Name of the extractor; "" for the baseline."""
        return self.features.extractor if self.features is not None else ""

    @property
    def is_level(self) -> bool:
        """Not the best, but not to be told from it: the interval of the difference reaches 0."""
        return self.behind is not None and self.behind.low <= 0


@dataclass(frozen=True)
class Comparison:
    """Extractors side by side as plain data.

    Attributes:
        k: the cutoff of the metrics.
        n_users: over whom they are means.
        rows: by model, in each the best nDCG@k first.
        baseline: random order, what chance gives; None where it was not evaluated.
        correlations: by model: of ImageNet top-1 and nDCG@k, over the networks trained on its labels.
        failures: by extractor, why it, or a model on it, is not there.
        notes: sentences that a reader of the table should know.
    """

    k: int
    n_users: int
    rows: tuple[Row, ...]
    baseline: Row | None
    correlations: Mapping[str, RankCorrelation]
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Names of the metrics, in the order of the columns."""
        return [f"{name}@{self.k}" for name in HEADINGS]

    @property
    def headings(self) -> list[str]:
        """The metrics as the columns are headed."""
        return [f"{name}@{self.k}" for name in HEADINGS.values()]

    @property
    def ndcg(self) -> str:
        """The metric that decides."""
        return f"ndcg@{self.k}"

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order of their rows."""
        return list(dict.fromkeys(row.model for row in self.rows))

    @property
    def features(self) -> list[FeatureFacts]:
        """What is known of each extractor, in the order in which they first have a row."""
        found = {row.extractor: row.features for row in self.rows if row.features is not None}
        return list(found.values())

    def of(self, model: str) -> list[Row]:
        """The rows of a model, best first."""
        return [row for row in self.rows if row.model == model]

    def sentence(self, model: str) -> str:
        """What the correlation of a model means, and what it leaves out."""
        said = self.correlations[model].sentence("networks", "ImageNet top-1", f"nDCG@{self.k}")
        features = [row.features for row in self.of(model) if row.features is not None]
        left = [one.top1_kind for one in features if one.top1 is not None and one.top1_kind != "supervised"]
        if not left:
            return said
        kinds = " or ".join(kind for kind in KIND_MARKS if kind in left) or "a way that is not known"
        return (
            f"{said} Left out: {len(left)} whose top-1 is by {kinds}, which is another measure than that of a "
            f"network trained on the labels."
        )

    @property
    def top1_notes(self) -> list[tuple[str, str]]:
        """Each mark beside a top-1 that is there, and what it means."""
        kinds = {one.top1_kind for one in self.features if one.top1 is not None}
        return [
            (mark, f"{kind} ({KIND_MEANINGS[kind]})") for kind, mark in KIND_MARKS.items() if kind in kinds
        ]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dict a row, all with the same keys; the baseline last. What is not known is None."""
        return [self._flat(row) for row in [*self.rows, *([self.baseline] if self.baseline else [])]]

    def _flat(self, row: Row) -> dict[str, Any]:
        flat: dict[str, Any] = {"extractor": row.extractor or None, "model": row.model}
        for key in self.keys:
            one = row.metrics[key]
            flat |= {key: one.mean, f"{key}_low": one.low, f"{key}_high": one.high}
        key, behind = f"{self.ndcg}_behind_best", row.behind
        flat |= {key: behind.mean if behind else None}
        flat |= {f"{key}_low": behind.low if behind else None, f"{key}_high": behind.high if behind else None}
        for name in ("top1", "top5", "top1_kind", "weights", "dim", "images_per_second", "bytes"):
            flat[name] = getattr(row.features, name, None)
        return flat

    def to_json(self) -> dict[str, Any]:
        """JSON-able: k, n_users, rows, correlations (with what each means), failures, notes."""
        correlations = {
            name: {**vars(one), "meaning": self.sentence(name)} for name, one in self.correlations.items()
        }
        return {
            "k": self.k,
            "n_users": self.n_users,
            "rows": self.to_dicts(),
            "correlations": correlations,
            "failures": dict(self.failures),
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """`to_dicts` as CSV, numbers in full; what is not known is empty."""
        rows = self.to_dicts()
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()

    def to_rich(self) -> Table:
        """A table for a terminal of 100 columns; below each mean stands half the width of its 95 % interval."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        notes = "; ".join(f"{mark} {meaning}" for mark, meaning in self.top1_notes)
        caption = f"top-1 by {notes}; not to be compared with the others." if notes else None
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            caption=caption,
            caption_justify="left",
        )
        table.add_column("model", overflow="fold")
        table.add_column("features", overflow="fold")
        last = [("top-1", "top1"), ("top-5", "top5"), ("dim", "dim"), ("img/s", "speed"), ("MB", "size")]
        for heading in [*(f"{one} " for one in self.headings), *(heading for heading, _ in last)]:
            table.add_column(heading, justify="right", no_wrap=True)
        shown = ""
        for row in [*self.rows, *([self.baseline] if self.baseline else [])]:
            if shown and row.model != shown:
                table.add_section()
            cells = [Text("" if row.model == shown else row.model), Text(row.extractor or "-")]
            shown = row.model
            for key in self.keys:
                best = row.is_best.get(key, False)
                mark = "*" if best else LEVEL_MARK if key == self.ndcg and row.is_level else " "
                cell = Text(written(row.metrics[key].mean) + mark, style="bold green" if best else "")
                half = (row.metrics[key].high - row.metrics[key].low) / 2
                cells.append(Text.assemble(cell, (f"\n±{written(half)} ", "dim")))
            facts = facts_as_text(row.features)
            facts["top1"] += facts["kind"] or (" " if self.top1_notes and facts["top1"] else "")
            cells += [Text(facts[name] or "-") for _, name in last]
            table.add_row(*cells)
        return table


def compare(
    found: Sequence[tuple[FeatureFacts, Mapping[str, Report]]],
    baseline: Report | None = None,
    *,
    k: int = 20,
    failures: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Put the reports of models on several extractors' features side by side.

    Args:
        found: for each extractor its facts, and the reports by the name of the model.
        baseline: of random order.
        k: the cutoff.
        failures: by extractor, what went wrong.
        notes: sentences that a reader of the table should know.

    Raises:
        ConfigError: there is no report, or one lacks the metrics at k.
        RunError: reports are not of the same users.
    """
    everything = [report for _, reports in found for report in reports.values()]
    if not everything:
        raise ConfigError("There are no reports to compare; at least one model on one extractor is needed.")
    users = everything[0].per_user["user_id"]
    for report in [*everything, *([baseline] if baseline else [])]:
        if not report.per_user["user_id"].equals(users):
            raise RunError("The reports are not of the same users; compare runs of the same data and split.")
    models = list(dict.fromkeys(name for _, reports in found for name in reports))
    rows: list[Row] = []
    correlations = {}
    for model in models:
        mine = _rows_of(model, [(facts, reports[model]) for facts, reports in found if model in reports], k)
        known = [
            (row.features.top1, row.metrics[f"ndcg@{k}"].mean)
            for row in mine
            if row.features is not None
            and row.features.top1 is not None
            and row.features.top1_kind == "supervised"
        ]
        correlations[model] = rank_correlation([x for x, _ in known], [y for _, y in known])
        rows += mine
    chance = None if baseline is None else Row(baseline.model, None, _metrics(baseline, k))
    return Comparison(k, len(users), tuple(rows), chance, correlations, dict(failures or {}), tuple(notes))


def facts_as_text(facts: FeatureFacts | None) -> dict[str, str]:
    """What is known of features, as displayed: top1, top5, dim, speed (images a second), size (MB); "" if unknown.

    "kind" is the mark beside top1: "" where it is of a network trained on the labels.
    """
    if facts is None:
        return dict.fromkeys(("top1", "top5", "kind", "dim", "speed", "size"), "")
    speed, size = facts.images_per_second, facts.bytes / 1e6
    return {
        "top1": "" if facts.top1 is None else f"{facts.top1:.1f}",
        "top5": "" if facts.top5 is None else f"{facts.top5:.1f}",
        "kind": "" if facts.top1 is None else KIND_MARKS.get(facts.top1_kind or "", ""),
        "dim": f"{facts.dim:,}",
        "speed": "" if speed is None else f"{speed:.1f}" if speed < 10 else f"{speed:,.0f}",
        "size": f"{size:.1f}" if size < 10 else f"{size:,.0f}",
    }


def _metrics(report: Report, k: int) -> dict[str, Estimate]:
    return {f"{name}@{k}": report.estimate(f"{name}@{k}") for name in HEADINGS}


def _rows_of(model: str, found: Sequence[tuple[FeatureFacts, Report]], k: int) -> list[Row]:
    """The rows of one model, best first."""
    ndcg = f"ndcg@{k}"
    order = sorted(found, key=lambda one: (-one[1][ndcg], one[0].extractor))
    metrics = [_metrics(report, k) for _, report in order]
    tops = {key: written(max(one[key].mean for one in metrics)) for key in metrics[0]}
    best = order[0][1].per_user[ndcg].to_numpy()
    rows = []
    for place, ((facts, report), mine) in enumerate(zip(order, metrics, strict=True)):
        marks = {key: len(order) > 1 and written(one.mean) == tops[key] for key, one in mine.items()}
        difference: np.ndarray = best - report.per_user[ndcg].to_numpy()
        rows.append(Row(model, facts, mine, marks, bootstrap(difference) if place else None))
    return rows
