"""From runs, comparisons and lists to text."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.cli.rendering import new_console, print_rows
from visrec.errors import VisrecError

if TYPE_CHECKING:
    import polars as pl

    from visrec.evaluation.contest import Contest
    from visrec.evaluation.protocol import Report
    from visrec.evaluation.transfer import Comparison
    from visrec.features.features import Features
    from visrec.run_folder import Run
    from visrec.serving.service import Service
    from visrec.tuning import Tuning


def show_run(found: Run, reports: dict[str, Report], *, as_json: bool = False) -> None:
    """The comparison as a table, or as JSON."""
    if as_json:
        print((found.path / "report.json").read_text(encoding="utf-8"), end="")
        return
    from visrec.evaluation.leaderboard import leaderboard
    from visrec.evaluation.markup import over, ranked_of

    console = new_console()
    first = next(iter(reports.values()))
    if first.protocol["warning"]:
        console.print(f"!! {first.protocol['warning']}", style="bold red", highlight=False, markup=False)
    for note in found.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    facts = found.provenance["models"]
    seconds = {name: facts[name]["seconds"] for name in reports}
    board = leaderboard(reports, seconds=seconds)
    console.print(board.to_rich())
    n_seeds = max(len(report.by_seed) for report in reports.values())
    spread = f"; σ standard deviation between {n_seeds} seeds" if n_seeds else ""
    cautions = "".join(f"{one}\n" for one in first.protocol["cautions"])
    console.print(
        f"{board.legend} {first.per_user.height:,} users; {ranked_of(first.protocol)} were ranked; ± half the 95 % "
        f"interval {over(reports)}{spread}.\n{cautions}Pictures: {found.path / 'report.html'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def show_table(found: Run, reports: dict[str, Report], form: str, out: Path | None) -> None:
    """The leaderboard in a format for papers and programs, on stdout or in a file."""
    from visrec.evaluation.leaderboard import leaderboard
    from visrec.evaluation.markup import caption_of
    from visrec.evaluation.tables import formatted
    from visrec.files import write_text

    facts = found.provenance["models"]
    board = leaderboard(reports, seconds={name: facts[name]["seconds"] for name in reports})
    text = formatted(board, form, caption=caption_of(reports))
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def show_comparison(found: Comparison, out: Path, *, as_json: bool) -> None:
    """The table of extractors, what it says of ImageNet, and where the page is."""
    if as_json:
        print((out / "comparison.json").read_text(encoding="utf-8"), end="")
        return
    console = new_console()
    console.print(found.to_rich())
    lines = [f"{model}: {found.sentence(model)}" for model in found.models]
    lines.append(
        f"* best of its model, ≈ not to be told from it (nDCG); ± half the 95 % interval over "
        f"{found.n_users:,} users."
    )
    lines += found.notes
    for line in [*lines, f"{out / 'comparison.html'}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_contest(found: Contest, chosen: str, out: Path | None) -> None:
    """Models against a baseline, on the terminal or into a file."""
    from visrec.evaluation.contest import FORMATS
    from visrec.files import write_text

    if chosen != "table":
        text = FORMATS[chosen](found)
    else:
        from rich.console import Console

        console = new_console() if out is None else Console(file=io.StringIO())
        console.width = max(console.width, 140)
        with console.capture() as capture:
            for metric in found.metrics:
                console.print(found.to_rich(metric))
                console.print()
            console.print("\n".join(found.notes), highlight=False, markup=False, soft_wrap=True)
        text = capture.get()
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(out)


def show_tuning(found: Tuning, out: Path, *, as_json: bool) -> None:
    """The best trials, and what to type next."""
    rows = (
        found.trials.head(found.trials.height if as_json else 10).rename({"value": found.metric}).to_dicts()
    )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    shown = [{key: f"{v:.4g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    print_rows(
        shown, title=f"the best of {found.trials.height} trials, on the validation part", as_json=False
    )
    print(f"Trial 0 has the settings as given. Next: visrec run {out / 'best.toml'} --out RUN")


def show_items(found: Run | None, table: pl.DataFrame, title: str, *, as_json: bool) -> None:
    """A list of items with titles, or as JSON."""
    import polars as pl

    try:
        catalog = None if found is None else found.data.catalog
    except VisrecError as error:  # the lists need no data set, only the titles do
        print(f"visrec: no titles: {error}", file=sys.stderr)
        catalog = None
    if catalog is not None:
        titles = [catalog.title(int(index)) for index in catalog.items.indices(table["item_id"].to_list())]
        table = table.with_columns(pl.Series("title", titles, dtype=pl.String))
    rows = table.to_dicts()
    if not as_json:
        rows = [{key: f"{v:.4f}" if key == "score" else v for key, v in row.items()} for row in rows]
    print_rows(rows, title=title, as_json=as_json)


def facts_of(features: Features) -> dict[str, Any]:
    """What is said of features that were extracted."""
    failures = features.failures.sort("item_id").to_dicts()
    return {
        "items": len(features.items),
        "shape": "x".join(map(str, features.values.shape[1:])),
        "dtype": features.values.dtype.name,
        "steps": ", ".join(features.provenance["steps"]) or "none",
        "missing": len(failures),
        "digest": features.digest,
        "failures": failures,
    }


def show_served(service: Service, address: str) -> None:
    """Where a run is served, and what is possible."""
    engine, settings = service.engine, service.settings
    print(f"\nOpen {address}")
    print(f"  {len(engine.catalog):,} items, {len(engine.models)} models: {', '.join(engine.models)}")
    print(f"  REST service: {address}v1/openapi.json describes it")
    if settings.read_only:
        print("  read-only: nothing is kept")
    elif service.store is not None:
        print(f"  likes and events: {service.store.address}")
        if settings.token is None:
            print("  programs may read; to write they need a token: VISREC_TOKEN=… visrec serve …")
    print("Ctrl-C ends it.", flush=True)
