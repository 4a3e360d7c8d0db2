"""A run's comparison as a Markdown table, with 95 % intervals: uv run python benchmarks/table.py RUN [METRIC …]."""

from __future__ import annotations

import sys

import visrec

METRICS = ["auc", "rr", "ndcg@20", "recall@20", "ndcg@100", "recall@100"]


def main(run: str, *metrics: str) -> None:
    names = list(metrics) or METRICS
    print("| model |" + "".join(f" {name} |" for name in names))
    print("|---|" + "---|" * len(names))
    for model, report in visrec.Run.load(run).reports.items():
        found = [report.estimate(name) for name in names]
        cells = "".join(f" {one.mean:.4f} [{one.low:.4f}, {one.high:.4f}] |" for one in found)
        print(f"| {model} |{cells}")


if __name__ == "__main__":
    main(*sys.argv[1:])
