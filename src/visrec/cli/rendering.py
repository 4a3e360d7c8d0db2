"""From results to text: tables, JSON, progress bars."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.errors import VisrecError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from visrec.checks.diagnosis import Diagnosis
    from visrec.checks.mending import Mended
    from visrec.converting.conversion import Conversion
    from visrec.data.datasets.named import NamedDataset
    from visrec.data.statistics import Statistics
    from visrec.evaluation.contest import Contest
    from visrec.evaluation.protocol import Report
    from visrec.evaluation.transfer import Comparison
    from visrec.features.features import Features
    from visrec.progress import Progress
    from visrec.run_folder import Run
    from visrec.serving.service import Service
    from visrec.tuning import Tuning


@contextmanager
def stage(title: str) -> Iterator[Progress]:
    """A progress bar on a terminal; a line when done elsewhere. On stderr, so that stdout stays for results."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    start = time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    last = ""
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None, note="")

        def advance(done: int, total: int, note: str) -> None:
            nonlocal last
            last = note
            bars.update(task, completed=done, total=total or None, note=note)  # 0: nobody knows

        yield advance
    taken = time.perf_counter() - start
    console.print(f"{title}: {taken:.1f} s{'  ' + last if last else ''}", highlight=False, markup=False)


def show_run(found: Run, reports: dict[str, Report], *, as_json: bool = False) -> None:
    """The comparison as a table, or as JSON."""
    if as_json:
        print((found.path / "report.json").read_text(encoding="utf-8"), end="")
        return
    from visrec.evaluation.leaderboard import leaderboard
    from visrec.evaluation.markup import over, ranked_of

    console = _console()
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
    console = _console()
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

        console = _console() if out is None else Console(file=io.StringIO())
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


def show_diagnosis(found: Diagnosis, *, as_json: bool) -> None:
    """What the doctor says: what there is, each finding, and a last line to remember."""
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    console = _console()
    for line in _lines_of_facts(found.facts):
        console.print(line, highlight=False, markup=False)
    for one in found.findings:
        console.print(
            f"\n{_MARKS[one.severity]} {one.what}", style=_STYLES[one.severity], highlight=False, markup=False
        )
        _indented(console, f"{one.severity} {one.code}", style="dim")
        _indented(console, one.meaning)
        for example in one.examples:
            _indented(console, f"· {example}", style="dim")
        left = one.count - len(one.examples)
        if one.examples and left > 0 and len(one.examples) == 5:
            _indented(console, f"· … and {left:,} more", style="dim")
        if command := found.command(one):
            # Not wrapped: it is there to be copied.
            console.print(f"  → {command}", style="bold", soft_wrap=True, highlight=False, markup=False)
        if one.advice:
            _indented(console, f"{'or: ' if command else ''}{one.advice}")
    console.print(f"\n{summary_of(found)}", highlight=False, markup=False)


def summary_of(found: Diagnosis) -> str:
    """How many findings there are of each severity, in words."""
    counts = {word: len(found.of(word)) for word in ("error", "warning", "note")}
    if not any(counts.values()):
        return "Nothing is wrong with it."
    said = [f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items()]
    return f"{said[0]}, {said[1]}, {said[2]}." + (
        " visrec cannot use it as it is, or its results would be wrong."
        if counts["error"]
        else " It can be used."
    )


def show_mended(made: Mended, *, as_json: bool) -> None:
    """What was mended, and what is left."""
    if as_json:
        print(json.dumps(made.as_dict(), indent=2, ensure_ascii=False))
        return
    for code, what in made.done.items():
        print(f"{code}: {what}")
    if not made.done:
        print("There was nothing to mend.")
    if made.not_copied:
        print(
            f"not copied: {', '.join(f'{name}/' for name in made.not_copied)}. Features go by id: where pictures are "
            "as they were, those of the original serve (--features); else make them again (visrec extract)."
        )
    for one in made.left.of("error"):
        remedy = made.left.command(one) or " ".join([*one.examples[:1], one.advice])
        print(f"left: {one.code}: {one.what}. {remedy}")
    print(f"out: {made.out}\nNext: visrec check {made.out}")


def show_statistics(found: Statistics, notes: tuple[str, ...], written: list[Path]) -> None:
    """A table of numbers, and the files that were written."""
    from visrec.data.statistics import LEGEND

    console = _console()
    for note in notes:
        console.print(note, highlight=False, markup=False)
    print_rows([{"what": name, "value": value} for name, value in found.lines()], as_json=False)
    if found.n_interactions:
        console.print(LEGEND, style="dim", highlight=False, markup=False)
    for path in written:
        console.print(f"{path}", highlight=False, markup=False)


_MARKS = {"error": "✗", "warning": "!", "note": "i"}
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def _indented(console: Console, text: str, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))


def _lines_of_facts(facts: dict[str, Any]) -> Iterator[str]:
    if "interactions" in facts:
        yield (
            f"{facts['users']:,} users, {facts['items']:,} items ({facts['items_taken']:,} taken), "
            f"{facts['interactions']:,} interactions: {facts['density']:.3%} of all pairs"
        )
        yield f"from {facts['time']['first']} to {facts['time']['last']}"
        head = ", ".join(f"{share:.0%} by the most taken {part}" for part, share in facts["head"].items())
        yield f"of the interactions, {head} of the items"
        for core in facts["k_core"]:
            yield (
                f"{core['k']}-core: {core['users']:,} users, {core['items']:,} items, "
                f"{core['interactions']:,} interactions"
            )
    images = facts.get("images", {})
    if "width" in images:
        across, down = images["width"], images["height"]
        kinds = ", ".join(f"{n:,} {name}" for name, n in (images["formats"] | images["modes"]).items())
        yield (
            f"{images['files']:,} pictures ({kinds}); typically {across['50%']:,} x {down['50%']:,} pixels, "
            f"from {across['0%']:,} x {down['0%']:,} to {across['100%']:,} x {down['100%']:,}"
        )


def print_rows(rows: list[dict[str, Any]], *, as_json: bool, title: str | None = None) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    console, columns = _console(), list(rows[0] if rows else [])
    if console.width < _NARROW:
        _print_one_by_one(console, rows, title)
        return
    table = Table(title=title, title_justify="left")
    for number, key in enumerate(columns):
        table.add_column(key, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))  # as it is: brackets are no markup
    console.print(table)


_NARROW = 60  # characters; in fewer, columns side by side break in the midst of words


def _print_one_by_one(console: Console, rows: list[dict[str, Any]], title: str | None) -> None:
    """Rows below each other, a line a cell, where a terminal is too narrow for columns."""
    if title is not None:
        console.print(title, style="bold", highlight=False, markup=False)
    for row in rows:
        (_, name), *rest = row.items()
        if len(rest) == 1:
            console.print(f"{_cell(name)}: {_cell(rest[0][1])}", highlight=False, markup=False)
            continue
        console.print(_cell(name), style="bold", highlight=False, markup=False)
        for key, value in rest:
            if said := _cell(value):
                _indented(console, f"{key}: {said}")


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


def print_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, list):
            for row in value:
                print(f"  {', '.join(str(cell) for cell in row.values())}")
        else:
            print(f"{key}: {value}")


def _console() -> Console:
    """As wide as the terminal; where there is none, wide enough for all columns."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # ends quietly; rich would end with status 1, which means a bug

    console = Piped()
    return console if console.is_terminal else Piped(width=140)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


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


def show_conversion(made: Conversion, out: Path, *, as_json: bool, following: str | None = None) -> None:
    """What was found, what it became, what was left out, and the command that may follow."""
    if as_json:
        print(
            json.dumps(
                {"out": str(out), "files": made.files, "notes": made.notes}, indent=2, ensure_ascii=False
            )
        )
        return
    print_rows(made.files, as_json=False)
    print("\n".join([*made.notes, f"out: {out}", *([f"Next: {following}"] if following else [])]))


def show_dataset(found: NamedDataset, *, as_json: bool) -> None:
    """All that is known of a published data set, and the commands that make a folder of it."""
    from dataclasses import asdict

    from visrec.data.datasets.named import where_from

    facts = {name: getattr(found, name) for name in ("title", "what", "size", "licence", "citation", "home")}
    files = [{key: value for key, value in asdict(one).items() if value is not None} for one in found.files]
    if as_json:
        print(json.dumps({"name": found.name, **facts, "files": files}, indent=2, ensure_ascii=False))
        return
    print_facts(facts, as_json=False)
    rows = [
        {
            "file": one.name,
            "what": one.what,
            "needed": "yes" if one.needed else "one of these" if one.edition else "",
        }
        for one in found.files
    ]
    if rows:
        print_rows(rows, as_json=False)
        addresses = [where_from(one) for one in found.files if one.address is not None]
        print("\n".join([*addresses, f"Its options: visrec formats {found.name}"]))
        print(f"Then: visrec convert {found.name} FOLDER-WITH-THESE-FILES my-data")


def show_options(name: str, rows: list[dict[str, str]], *, as_json: bool) -> None:
    """The options of a format, and the commands that take them."""
    from visrec import registry

    if rows or as_json:
        print_rows(rows, as_json=as_json)
    else:
        print(f"{name} has no options.")
    if as_json:
        return
    if name in registry.names("datasets"):
        print(
            f"Its files: visrec datasets {name}\nThen: visrec convert {name} FOLDER-WITH-THESE-FILES my-data"
        )
        return
    entry = registry.resolve("formats", name)
    if entry.read or entry.convert:
        print(f"From it: visrec convert {name} SOURCE my-data")
    if entry.write:
        print(f"To it: visrec export {name} my-data OUT")
