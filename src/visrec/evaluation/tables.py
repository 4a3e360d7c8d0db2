"""The leaderboard in formats for papers and programs: Markdown, LaTeX, CSV, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING

from visrec.errors import ConfigError
from visrec.evaluation.leaderboard import Leaderboard, written

if TYPE_CHECKING:
    from visrec.evaluation.significance import Estimate

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "σ": r"$\sigma$",
    "≈": r"$\approx$",
}


def formatted(board: Leaderboard, form: str, *, caption: str = "") -> str:
    """A leaderboard as text that ends in a newline.

    Args:
        board: what is shown.
        form: "md", "latex" (needs booktabs), "csv" or "json".
        caption: what the table is about; CSV and JSON have no room for it.

    Raises:
        ConfigError: there is no such format.
    """
    if form not in FORMATS:
        raise ConfigError(f"--format is '{form}'; expected {', '.join(FORMATS)}.")
    return FORMATS[form](board, caption)


def to_markdown(board: Leaderboard, caption: str = "") -> str:
    """A table whose cells are a mean and its interval; the best of each column is bold."""
    headings = ["model", *(column.heading for column in board.columns)]
    lines = [_row(headings), _row(["---"] + ["---:"] * len(board.columns))]
    for row in board.rows:
        cells = [
            _cell(cell, "**{}**" if best else "{}", " {}–{}")
            for cell, best in zip(row.cells, row.is_best, strict=True)
        ]
        lines.append(_row([row.name, *cells]))
    if caption:
        lines += ["", caption]
    return "\n".join(lines) + "\n"


def to_latex(board: Leaderboard, caption: str = "") -> str:
    r"""A table environment for `\usepackage{booktabs}`; each interval stands below its mean, the best is bold."""
    headings = ["model", *(escaped(column.heading) for column in board.columns)]
    lines = [
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{escaped(caption)}}}"] if caption else []),
        rf"\begin{{tabular}}{{l{'r' * len(board.columns)}}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
        r"\midrule",
    ]
    for row in board.rows:
        cells = zip(row.cells, row.is_best, strict=True)
        means = [_cell(cell, r"\textbf{{{}}}" if best else "{}", "") for cell, best in cells]
        ends = ["" if cell is None else _cell(cell, "", r"{{\scriptsize {}--{}}}") for cell in row.cells]
        lines.append(" & ".join([escaped(row.name), *means]) + r" \\")
        lines.append(" & ".join(["", *ends]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def to_csv(board: Leaderboard, caption: str = "") -> str:  # noqa: ARG001
    """One row a model; three columns a metric: the mean as METRIC, METRIC_low, METRIC_high. Numbers in full.

    Then the seconds of fitting and the name of the protocol, as far as they are known.
    """
    import csv

    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    keys = [column.key for column in board.columns]
    timed = any(row.seconds is not None for row in board.rows)
    named = [board.protocol] if board.protocol else []
    writer.writerow(
        [
            "model",
            *(key + end for key in keys for end in ("", "_low", "_high")),
            *(["seconds"] * timed),
            *(["protocol"] * len(named)),
        ]
    )
    for row in board.rows:
        values: list[object] = [row.name]
        for cell in row.cells:
            values += ["", "", ""] if cell is None else [cell.mean, cell.low, cell.high]
        writer.writerow([*values, *([row.seconds] * timed), *named])
    return file.getvalue()


def to_json(board: Leaderboard, caption: str = "") -> str:  # noqa: ARG001
    """`Leaderboard.to_dicts`, a list with one object a model."""
    return json.dumps(board.to_dicts(), indent=2, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Leaderboard, str], str]] = {
    "md": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}
"""By the name that the command line knows."""


def escaped(text: str) -> str:
    """A text as LaTeX shows it, whatever signs it has."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _row(cells: list[str]) -> str:
    """A line of Markdown; what would end a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _cell(cell: Estimate | None, mean: str, interval: str) -> str:
    if cell is None:
        return "–"
    return mean.format(written(cell.mean)) + interval.format(written(cell.low), written(cell.high))
