"""Models against a baseline on the same users: one row a model and metric, with everything that a reader may ask."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from visrec.errors import ConfigError, RunError
from visrec.evaluation.leaderboard import heading_of
from visrec.evaluation.markup import reservations
from visrec.evaluation.paired import ALPHA, Paired, compare_paired, holm
from visrec.evaluation.seeds import values_by_seed
from visrec.evaluation.significance import METHOD, Estimate, Spread
from visrec.evaluation.tables import escaped

if TYPE_CHECKING:
    from rich.table import Table

    from visrec.evaluation.protocol import Report

MARK = "*"
"""Beside a difference that is significant."""

HEADINGS = (
    "model",
    "mean",
    "95 %",
    "seeds",
    "difference",
    "95 %",
    "p",
    "p Holm",
    "p Wilcoxon",
    "d_z",
    "better/worse",
)


@dataclass(frozen=True)
class Entry:
    """A model by one metric.

    Attributes:
        model: its name.
        metric: such as "ndcg@20".
        estimate: the mean over users (and seeds) with its interval.
        seeds: the seeds that it was trained with; () where there is one, or none.
        spread: how the mean differs between them.
        paired: the model minus the baseline; None for the baseline.
        p_holm: of the randomisation test, corrected for all comparisons of the table; None for the baseline.
    """

    model: str
    metric: str
    estimate: Estimate
    seeds: tuple[int, ...] = ()
    spread: Spread | None = None
    paired: Paired | None = None
    p_holm: float | None = None

    @property
    def is_significant(self) -> bool:
        """Whether the model differs from the baseline: see `Paired.is_significant`."""
        return self.paired is not None and self.p_holm is not None and self.paired.is_significant(self.p_holm)

    def to_dict(self) -> dict[str, Any]:
        """One flat row; None where there is nothing to say."""
        paired = self.paired
        return {
            "model": self.model,
            "metric": self.metric,
            "mean": self.estimate.mean,
            "low": self.estimate.low,
            "high": self.estimate.high,
            "seeds": len(self.seeds) or 1,
            **{f"seeds_{one.name}": getattr(self.spread, one.name, None) for one in fields(Spread)},
            **{
                key: getattr(paired.difference, of) if paired else None
                for key, of in (
                    ("difference", "mean"),
                    ("difference_low", "low"),
                    ("difference_high", "high"),
                )
            },
            "p": getattr(paired, "p", None),
            "p_holm": self.p_holm,
            "p_wilcoxon": getattr(paired, "p_wilcoxon", None),
            **{key: getattr(paired, key, None) for key in ("effect_size", "better", "worse", "equal")},
            "significant": self.is_significant if paired else None,
        }

    def cells(self) -> tuple[str, ...]:
        """As displayed, in the order of `HEADINGS`."""
        own = (self.model, _number(self.estimate.mean), _interval(self.estimate))
        seeds = "" if self.spread is None else f"{len(self.seeds)}: σ {_number(self.spread.sd)}"
        if self.paired is None or self.p_holm is None:
            return (*own, seeds, "baseline", *[""] * 6)
        difference, effect = self.paired.difference, self.paired.effect_size
        return (
            *own,
            seeds,
            f"{_number(difference.mean, sign=True)}{MARK if self.is_significant else ''}",
            _interval(difference, sign=True),
            _p(self.paired.p),
            _p(self.p_holm),
            _p(self.paired.p_wilcoxon),
            "" if effect is None else f"{effect:+.2f}",
            f"{self.paired.better:.0%}/{self.paired.worse:.0%}",
        )


@dataclass(frozen=True)
class Contest:
    """Models against a baseline, as plain data.

    Attributes:
        baseline: name of the model that all others are compared with.
        n_users: on whom they are compared.
        entries: by metric, in each the best mean first.
        provenance: where the numbers come from.
        reservations: the protocol's warning, and what so few users cannot bear: they come first in `notes`.
    """

    baseline: str
    n_users: int
    entries: tuple[Entry, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    reservations: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """The metrics, in the order in which they were asked for."""
        return list(dict.fromkeys(entry.metric for entry in self.entries))

    @property
    def models(self) -> list[str]:
        """The models, the best by the first metric first."""
        return [entry.model for entry in self.of(self.metrics[0])]

    def of(self, metric: str) -> list[Entry]:
        """The entries of a metric, the best mean first."""
        return [entry for entry in self.entries if entry.metric == metric]

    @property
    def notes(self) -> list[str]:
        """What a reader of the table should know, as sentences."""
        family = sum(entry.paired is not None for entry in self.entries)
        seeds = any(entry.spread is not None for entry in self.entries)
        lines = [
            *self.reservations,
            f"{self.n_users:,} users. Differences are to {self.baseline}, on the same users; intervals hold 95 % "
            f"({METHOD}{', and seeds' if seeds else ''}).",
            f"p: randomisation test; p Holm: corrected for the {family} comparisons of this table. "
            f"{MARK} p Holm is at most {ALPHA:.2g}, and the interval leaves out 0. d_z: mean difference over its "
            f"standard deviation between users; better/worse: share of users.",
        ]
        if seeds:
            lines.append("seeds: how many, and the standard deviation between their means (σ).")
        return lines

    def to_dicts(self) -> list[dict[str, Any]]:
        """JSON-able, one flat dict a model and metric, all with the same keys."""
        return [entry.to_dict() for entry in self.entries]

    def to_json(self) -> str:
        """baseline, n_users, rows, notes, provenance."""
        content = {
            "baseline": self.baseline,
            "n_users": self.n_users,
            "rows": self.to_dicts(),
            "notes": self.notes,
            "provenance": self.provenance,
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """`to_dicts` as CSV, numbers in full; what there is not is empty. Reservations stand in a column "note"."""
        note = {"note": " ".join(self.reservations)} if self.reservations else {}
        rows = [row | note for row in self.to_dicts()]
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()

    def to_markdown(self) -> str:
        """A table a metric, and the notes."""
        parts = []
        for metric in self.metrics:
            lines = [f"**{heading_of(metric)}**", "", _piped(HEADINGS), _piped(["---", *["---:"] * 10])]
            for place, entry in enumerate(self.of(metric)):
                cells = [cell.replace("|", "\\|").replace("*", "\\*") for cell in entry.cells()]
                cells[1] = f"**{cells[1]}**" if place == 0 else cells[1]
                lines.append(_piped(cells))
            parts.append("\n".join(lines))
        return "\n\n".join([*parts, *(note.replace("*", "\\*") for note in self.notes)]) + "\n"

    def to_latex(self) -> str:
        """A tabular a metric (packages booktabs, amsmath), and the notes as comments."""
        parts = ["\n".join(f"% {escaped(note)}" for note in self.notes)]
        for metric in self.metrics:
            lines = [
                rf"\begin{{tabular}}{{l{'r' * 10}}}",
                r"\toprule",
                rf"\multicolumn{{11}}{{l}}{{{escaped(heading_of(metric))}}} \\",
                " & ".join(escaped(one) for one in HEADINGS) + r" \\",
                r"\midrule",
            ]
            for place, entry in enumerate(self.of(metric)):
                cells = [escaped(cell) for cell in entry.cells()]
                cells[1] = rf"\textbf{{{cells[1]}}}" if place == 0 else cells[1]
                lines.append(" & ".join(cells) + r" \\")
            parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
        return "\n\n".join(parts) + "\n"

    def to_rich(self, metric: str) -> Table:
        """A table of one metric for a terminal."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        title = Text(heading_of(metric), style="bold")
        table = Table(
            title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
        )
        for place, heading in enumerate(HEADINGS):
            table.add_column(
                heading, justify="right" if place else "left", no_wrap=place > 0, overflow="fold"
            )
        for place, entry in enumerate(self.of(metric)):
            cells = [Text(cell) for cell in entry.cells()]
            cells[1].stylize("bold green" if place == 0 else "")
            table.add_row(*cells)
        return table


FORMATS: dict[str, Callable[[Contest], str]] = {
    "md": Contest.to_markdown,
    "latex": Contest.to_latex,
    "csv": Contest.to_csv,
    "json": Contest.to_json,
}
"""Ways to write a contest down."""


def contest(
    reports: Mapping[str, Report],
    *,
    metrics: Sequence[str] | None = None,
    baseline: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Contest:
    """Compare models with one of them, on the same users.

    Args:
        reports: by the name of the model, two or more.
        metrics: such as "ndcg@20"; None: the first nDCG, and AUC. The family of Holm's correction is all comparisons
            by all of them: who looks at more pays for it.
        baseline: a name; None: the best by the first metric. A best one that was found on these users looks a little
            better than it is; a baseline that was named before does not.
        provenance: where the reports come from.

    Raises:
        ConfigError: there are fewer than two models, or one has not the metric, or there is no such baseline.
        RunError: the reports are not of the same users.
    """
    if len(reports) < 2:
        raise ConfigError(f"A comparison needs two models; found {', '.join(reports) or 'none'}.")
    chosen = list(dict.fromkeys(metrics)) if metrics else _default_metrics(reports)
    for name, report in reports.items():
        for metric in chosen:
            if metric not in report.metrics or metric not in report.per_user.columns:
                known = ", ".join(one for one in report.metrics if one in report.per_user.columns)
                raise ConfigError(f"'{name}' has no '{metric}' by user. It has {known}.")
    users = next(iter(reports.values())).per_user["user_id"]
    if not all(report.per_user["user_id"].equals(users) for report in reports.values()):
        raise RunError(
            "The models were not evaluated on the same users; compare runs of the same data and split."
        )
    if baseline is not None and baseline not in reports:
        raise ConfigError(f"There is no model '{baseline}' to compare with. There are {', '.join(reports)}.")
    base = baseline or max(reports, key=lambda name: reports[name][chosen[0]])
    others = [name for name in reports if name != base]
    found: dict[tuple[str, str], Paired] = {}
    for metric in chosen:
        values = [values_by_seed(reports[name], metric) for name in others]
        pairs = compare_paired(values, values_by_seed(reports[base], metric))
        found |= {(metric, name): pair for name, pair in zip(others, pairs, strict=True)}
    corrected = dict(zip(found, holm([pair.p for pair in found.values()]), strict=True))
    entries = [
        Entry(
            name,
            metric,
            reports[name].estimate(metric),
            tuple(reports[name].by_seed),
            reports[name].spread(metric),
            found.get((metric, name)),
            corrected.get((metric, name)),
        )
        for metric in chosen
        for name in sorted(reports, key=lambda name: -reports[name][metric])
    ]
    said = dict.fromkeys(one for report in reports.values() for one in reservations(report.protocol))
    return Contest(base, len(users), tuple(entries), dict(provenance or {}), tuple(said))


def _default_metrics(reports: Mapping[str, Report]) -> list[str]:
    """The first nDCG and AUC, of what all reports have."""
    first = next(iter(reports.values()))
    shared = [name for name in first.metrics if all(name in report.metrics for report in reports.values())]
    ndcg = [name for name in shared if name.startswith("ndcg@")][:1]
    found = ndcg + [name for name in shared if name == "auc"]
    if not found:
        raise ConfigError("The models have neither an nDCG nor AUC in common; name metrics (--metric).")
    return found


def _number(value: float, *, sign: bool = False) -> str:
    return f"{value:+.4f}" if sign else f"{value:.4f}"


def _interval(one: Estimate, *, sign: bool = False) -> str:
    return f"[{_number(one.low, sign=sign)}, {_number(one.high, sign=sign)}]"


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
