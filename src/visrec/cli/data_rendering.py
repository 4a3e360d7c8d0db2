"""From what is known of data sets to text: diagnoses, statistics, conversions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.cli.rendering import indented, new_console, print_facts, print_rows

if TYPE_CHECKING:
    from visrec.checks.diagnosis import Diagnosis
    from visrec.checks.mending import Mended
    from visrec.converting.conversion import Conversion
    from visrec.data.datasets.named import NamedDataset
    from visrec.data.statistics import Statistics


def show_diagnosis(found: Diagnosis, *, as_json: bool) -> None:
    """What the doctor says: what there is, each finding, and a last line to remember."""
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    console = new_console()
    for line in _lines_of_facts(found.facts):
        console.print(line, highlight=False, markup=False)
    for one in found.findings:
        console.print(
            f"\n{_MARKS[one.severity]} {one.what}", style=_STYLES[one.severity], highlight=False, markup=False
        )
        indented(console, f"{one.severity} {one.code}", style="dim")
        indented(console, one.meaning)
        for example in one.examples:
            indented(console, f"· {example}", style="dim")
        left = one.count - len(one.examples)
        if one.examples and left > 0 and len(one.examples) == 5:
            indented(console, f"· … and {left:,} more", style="dim")
        if command := found.command(one):
            # Not wrapped: it is there to be copied.
            console.print(f"  → {command}", style="bold", soft_wrap=True, highlight=False, markup=False)
        if one.advice:
            indented(console, f"{'or: ' if command else ''}{one.advice}")
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

    console = new_console()
    for note in notes:
        console.print(note, highlight=False, markup=False)
    print_rows([{"what": name, "value": value} for name, value in found.lines()], as_json=False)
    if found.n_interactions:
        console.print(LEGEND, style="dim", highlight=False, markup=False)
    for path in written:
        console.print(f"{path}", highlight=False, markup=False)


_MARKS = {"error": "✗", "warning": "!", "note": "i"}
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


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
