"""How the command line shows things: tables, facts, progress bars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from visrec.progress import Progress


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


def indented(console: Console, text: str, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))


def print_rows(rows: list[dict[str, Any]], *, as_json: bool, title: str | None = None) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    console, columns = new_console(), list(rows[0] if rows else [])
    if console.width < _NARROW:
        _print_one_by_one(console, rows, title)
        return
    table = Table(title=title, title_justify="left")
    for number, key in enumerate(columns):
        table.add_column(key, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row.values()))  # as it is: brackets are no markup
    console.print(table)


_NARROW = 60  # characters; in fewer, columns side by side break in the midst of words


def _print_one_by_one(console: Console, rows: list[dict[str, Any]], title: str | None) -> None:
    """Rows below each other, a line a cell, where a terminal is too narrow for columns."""
    if title is not None:
        console.print(title, style="bold", highlight=False, markup=False)
    for row in rows:
        (_, name), *rest = row.items()
        if len(rest) == 1:
            console.print(f"{cell(name)}: {cell(rest[0][1])}", highlight=False, markup=False)
            continue
        console.print(cell(name), style="bold", highlight=False, markup=False)
        for key, value in rest:
            if said := cell(value):
                indented(console, f"{key}: {said}")


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


def new_console() -> Console:
    """As wide as the terminal; where there is none, wide enough for all columns."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # ends quietly; rich would end with status 1, which means a bug

    console = Piped()
    return console if console.is_terminal else Piped(width=140)


def cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
