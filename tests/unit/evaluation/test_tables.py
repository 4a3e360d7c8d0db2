"""The leaderboard in formats for papers and programs."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import polars as pl
import pytest

from visrec.errors import ConfigError
from visrec.evaluation.leaderboard import Leaderboard, leaderboard
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate
from visrec.evaluation.tables import FORMATS, escaped, formatted

NAME = "my_model|50%&co"


@pytest.fixture
def board() -> Leaderboard:
    def report(auc: float, new: bool = False) -> Report:
        metrics = {"auc": Estimate(auc, auc - 0.1, auc + 0.05), "ndcg@5": Estimate(1 / 3, 0.3, 0.4)}
        news = {"auc": Estimate(0.5, 0.4, 0.6)} if new else {}
        return Report("M", metrics, pl.DataFrame({"user_id": ["u"]}), news, {"cutoffs": [5]})

    reports = {NAME: report(0.8), "bpr": report(0.7, new=True)}
    return leaderboard(reports, columns=["auc", "ndcg@5", "new_items:auc"], seconds={"bpr": 2.5})


def test_markdown_has_a_row_a_model_and_the_best_in_bold(board: Leaderboard) -> None:
    lines = formatted(board, "md", caption="Of 7 users.").splitlines()
    assert lines[0] == "| model | AUC | nDCG@5 | new items AUC |"
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[2] == r"| my_model\|50%&co | **0.8000** 0.7000–0.8500 | **0.3333** 0.3000–0.4000 | – |"
    assert lines[3] == "| bpr | 0.7000 0.6000–0.7500 | **0.3333** 0.3000–0.4000 | **0.5000** 0.4000–0.6000 |"
    assert lines[-1] == "Of 7 users."


def test_latex_escapes_names_and_closes_what_it_opens(board: Leaderboard) -> None:
    text = formatted(board, "latex", caption="95 % of them_all")
    assert r"my\_model|50\%\&co & \textbf{0.8000} & \textbf{0.3333} & – \\" in text
    assert r"{\scriptsize 0.7000--0.8500}" in text
    assert r"\caption{95 \% of them\_all}" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    opened, closed = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert opened == closed[::-1] == ["table", "tabular"]
    assert r"\begin{tabular}{lrrr}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 3 for row in rows)
    # Braces are in pairs, those that are escaped aside.
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_whatever_a_name_has_latex_shows_it() -> None:
    assert escaped(r"a\b{c}~^#$<>σ") == (
        r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\#\$\textless{}\textgreater{}$\sigma$"
    )


def test_csv_names_the_protocol_where_the_reports_do(board: Leaderboard) -> None:
    rows = list(csv.DictReader(io.StringIO(formatted(replace(board, protocol="tutorial"), "csv"))))
    assert [row["protocol"] for row in rows] == ["tutorial"] * len(board.rows)
    assert "protocol" not in formatted(replace(board, protocol=""), "csv")


def test_csv_has_every_number_in_full(board: Leaderboard) -> None:
    first, second = csv.DictReader(io.StringIO(formatted(board, "csv")))
    assert first["model"] == NAME
    assert float(first["ndcg@5"]) == 1 / 3
    assert (float(second["auc_low"]), float(second["auc_high"])) == (0.7 - 0.1, 0.7 + 0.05)
    assert first["new_items:auc"] == first["seconds"] == ""
    assert second["seconds"] == "2.5"


def test_json_is_the_leaderboard_as_data(board: Leaderboard) -> None:
    assert json.loads(formatted(board, "json")) == board.to_dicts()


def test_unknown_formats_are_refused(board: Leaderboard) -> None:
    with pytest.raises(ConfigError, match="'html'; expected md, latex, csv, json"):
        formatted(board, "html")
    assert all(formatted(board, form).endswith("\n") for form in FORMATS)
