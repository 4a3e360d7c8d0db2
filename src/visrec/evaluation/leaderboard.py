"""Models side by side: one row a model, one column a metric; the best of each column and its equals are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visrec.errors import ConfigError
from visrec.evaluation.paired import compare_paired, holm
from visrec.evaluation.seeds import values_by_seed
from visrec.evaluation.significance import Estimate, Spread

if TYPE_CHECKING:
    from rich.table import Table

    from visrec.evaluation.protocol import Report

NEW_ITEMS = "new_items:"
"""Before a metric's name, such as "new_items:auc": the metric when only brand-new items are candidates."""

LEVEL_MARK = "≈"
"""Beside a mean that is not the best, but cannot be told from it."""

DECIMALS = 4
_HEADINGS = {"auc": "AUC", "rr": "MRR", "ndcg": "nDCG", "map": "MAP"}
_AT_FIRST, _AT_SECOND = ("ndcg", "recall", "precision", "hit"), ("ndcg", "recall")


@dataclass(frozen=True)
class Column:
    """A metric. `key` is its name in a report, or that name after `NEW_ITEMS`."""

    key: str
    heading: str
    larger_is_better: bool = True


@dataclass(frozen=True)
class Row:
    """A model.

    Attributes:
        name: of the model.
        cells: one a column; None where the model's report does not have the metric.
        is_best: one a column: nothing in the column is displayed as better. Never True without a rival.
        is_level: one a column: not the best, but the users there are do not tell it from the best. Only columns of
            `Leaderboard.tested` have such.
        spreads: one a column: how the mean differs between seeds; None where there is one seed, or none.
        seconds: how long the model took to fit, if known.
    """

    name: str
    cells: tuple[Estimate | None, ...]
    is_best: tuple[bool, ...]
    is_level: tuple[bool, ...]
    spreads: tuple[Spread | None, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Leaderboard:
    """A comparison as plain data: `len(columns)` cells in each row, rows in the order of the reports.

    Attributes:
        columns: the metrics.
        rows: the models.
        tested: keys of the columns in which each model was tested against the best: AUC and the first nDCG.
        protocol: the name of that of the reports, if they name one.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    tested: tuple[str, ...] = ()
    protocol: str = ""

    @property
    def legend(self) -> str:
        """What the marks mean, as a sentence or two."""
        if not self.tested:
            return "* best of its column."
        return f"* best of its column; {LEVEL_MARK} {self.meaning_of_level}"

    @property
    def meaning_of_level(self) -> str:
        """What `LEVEL_MARK` says, and by which test."""
        columns = " and ".join(heading_of(key) for key in self.tested)
        return (
            f"not to be told from it by these users (tested for {columns}: paired randomisation test, Holm's "
            f"correction, 5 %)."
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """JSON-able, one a model: its name as "model", {mean, low, high, best, level} or None by metric, seconds.

        Where there are several seeds, also "sd", the standard deviation between their means.
        """
        return [
            {
                "model": row.name,
                **{
                    self.columns[place].key: None
                    if cell is None
                    else {
                        **vars(cell),
                        "best": row.is_best[place],
                        "level": row.is_level[place],
                        **_sd(row.spreads[place]),
                    }
                    for place, cell in enumerate(row.cells)
                },
                **({} if row.seconds is None else {"seconds": row.seconds}),
            }
            for row in self.rows
        ]

    def to_rich(self) -> Table:
        """A table for a terminal of 100 columns.

        The best of each column is bold green and ends in `*`, what is not to be told from it in `≈`. Below AUC and
        the first nDCG stand half the width of the 95 % interval and, with several seeds, the standard deviation
        between them: on lines of their own, since ten metrics leave no room beside the means.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
        # Only names may fold: a number broken over two lines would be another number.
        table.add_column("model", overflow="fold")
        for column in self.columns:
            # A space at the end of each line: numbers have one there, for the mark of the best.
            words = column.heading.replace("@", " \n@").replace(" AUC", " \nAUC")
            table.add_column(Text(f"{words} "), justify="right", no_wrap=True)
        timed = any(row.seconds is not None for row in self.rows)
        if timed:
            table.add_column("fit s", justify="right", no_wrap=True)
        widths = _main_keys([one.key for one in self.columns])
        for row in self.rows:
            cells = [Text(row.name)]
            for place, cell in enumerate(row.cells):
                if cell is None:
                    cells.append(Text("- ", style="dim"))
                    continue
                best = row.is_best[place]
                mark = "*" if best else LEVEL_MARK if row.is_level[place] else " "
                text = Text(written(cell.mean) + mark, style="bold green" if best else "")
                if self.columns[place].key in widths:
                    text = Text.assemble(text, (f"\n±{written((cell.high - cell.low) / 2)} ", "dim"))
                    spread = row.spreads[place]
                    if spread is not None:
                        text = Text.assemble(text, (f"\nσ{written(spread.sd)} ", "dim"))
                cells.append(text)
            if timed:
                cells.append(Text("-" if row.seconds is None else f"{row.seconds:.1f}"))
            table.add_row(*cells)
        return table


def leaderboard(
    reports: Mapping[str, Report],
    *,
    columns: Sequence[str] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Leaderboard:
    """Put reports side by side.

    Args:
        reports: by the name of the model, in the order of the rows.
        columns: keys such as "auc", "ndcg@20", "new_items:auc". None: AUC, MRR, nDCG, recall, precision and hit
            at the first cutoff, nDCG and recall at the second, and the AUC among new items, where any report
            has it.
        seconds: how long each model took to fit.

    Raises:
        ConfigError: there is no report, or no report has one of the columns.
    """
    if not reports:
        raise ConfigError("There are no reports to compare; evaluate at least one model.")
    keys = list(columns) if columns is not None else _default_keys(reports)
    for key in keys:
        if all(_cell(report, key) is None for report in reports.values()):
            known = ", ".join(next(iter(reports.values())).metrics)
            raise ConfigError(
                f"No report has a column '{key}'. There are {known}, and each of them after '{NEW_ITEMS}'."
            )
    shown = tuple(Column(key, heading_of(key)) for key in keys)
    cells = {name: tuple(_cell(report, key) for key in keys) for name, report in reports.items()}
    best = [_best(column, [row[place] for row in cells.values()]) for place, column in enumerate(shown)]

    def marks(row: Sequence[Estimate | None]) -> tuple[bool, ...]:
        if len(cells) == 1:  # the best of one says nothing
            return (False,) * len(row)
        return tuple(
            cell is not None and written(cell.mean) == top for cell, top in zip(row, best, strict=True)
        )

    tested = {key: _level_with_best(reports, key) for key in _main_keys(keys) if _is_paired(reports, key)}
    rows = []
    for name, row in cells.items():
        is_best = marks(row)
        is_level = tuple(
            name in tested.get(key, ()) and not best for key, best in zip(keys, is_best, strict=True)
        )
        spreads = tuple(None if NEW_ITEMS in key else reports[name].spread(key) for key in keys)
        rows.append(Row(name, row, is_best, is_level, spreads, (seconds or {}).get(name)))
    protocol = str(next(iter(reports.values())).protocol.get("name", ""))
    return Leaderboard(shown, tuple(rows), tuple(tested), protocol)


def written(value: float) -> str:
    """A metric as it is displayed. What reads the same counts as the same."""
    return f"{value:.{DECIMALS}f}"


def _default_keys(reports: Mapping[str, Report]) -> list[str]:
    cutoffs = list(next(iter(reports.values())).protocol["cutoffs"])
    keys = ["auc", "rr", *(f"{name}@{k}" for k in cutoffs[:1] for name in _AT_FIRST)]
    keys += [f"{name}@{k}" for k in cutoffs[1:2] for name in _AT_SECOND]
    if any("auc" in report.new_items for report in reports.values()):
        keys.append(f"{NEW_ITEMS}auc")
    return keys


def _main_keys(keys: Sequence[str]) -> list[str]:
    """The metrics that models are judged by first: AUC and the first nDCG."""
    first_ndcg = next((key for key in keys if key.startswith("ndcg@")), "")
    return [key for key in keys if key in ("auc", first_ndcg)]


def _is_paired(reports: Mapping[str, Report], key: str) -> bool:
    """Whether there are several reports with a metric, all of the same users."""
    frames = [report.per_user for report in reports.values()]
    if len(frames) < 2 or any(key not in frame.columns for frame in frames):
        return False
    return all(frame["user_id"].equals(frames[0]["user_id"]) for frame in frames)


def _level_with_best(reports: Mapping[str, Report], key: str) -> set[str]:
    """The models that a paired test does not tell from the one with the best mean, after Holm's correction."""
    best = max(reports, key=lambda name: reports[name][key])
    others = [name for name in reports if name != best]
    found = compare_paired(
        [values_by_seed(reports[name], key) for name in others], values_by_seed(reports[best], key)
    )
    corrected = holm([one.p for one in found])
    return {name for name, one, p in zip(others, found, corrected, strict=True) if not one.is_significant(p)}


def _sd(spread: Spread | None) -> dict[str, float]:
    return {} if spread is None else {"sd": spread.sd}


def _cell(report: Report, key: str) -> Estimate | None:
    if key.startswith(NEW_ITEMS):
        return report.new_items.get(key.removeprefix(NEW_ITEMS))
    return report.metrics.get(key)


def heading_of(key: str) -> str:
    """A metric as a column is headed: "nDCG@20", "new items AUC"."""
    base, at, cutoff = key.removeprefix(NEW_ITEMS).partition("@")
    shown = _HEADINGS.get(base, base) + at + cutoff
    return f"new items {shown}" if key.startswith(NEW_ITEMS) else shown


def _best(column: Column, cells: Sequence[Estimate | None]) -> str | None:
    """The best mean of a column as displayed."""
    means = [cell.mean for cell in cells if cell is not None]
    pick = max if column.larger_is_better else min
    return written(pick(means)) if means else None
