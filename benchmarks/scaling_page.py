"""The page of the scaling study: plots in log-log, and the figures behind its reading."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from common import HERE, Table, described
from scaling_stages import STAGES, Size

from visrec.evaluation.plots.axis import axis
from visrec.evaluation.plots.drawing import Drawing, Line, Part, Shape, Text, look_of, outline, polyline
from visrec.evaluation.plots.figures import Figure
from visrec.evaluation.plots.files import to_svg

DOCS = HERE.parent / "docs"
BEGIN, END = "<!-- scaling: begin -->", "<!-- scaling: end -->"
FACTORS = ("users", "items", "interactions", "features", "together")
_WIDTH, _HEIGHT = 260, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 30, 34


def published(facts: dict[str, Any]) -> None:
    """Into docs/scaling.md, its plots, and results/scaling.json."""
    page = DOCS / "scaling.md"
    before, found, rest = page.read_text().partition(BEGIN)
    if not found or END not in rest:
        raise SystemExit(f"{page} has no place for these figures; expected {BEGIN} and {END}.")
    page.write_text(f"{before}{BEGIN}\n{text_of(facts)}\n{END}{rest.partition(END)[2]}")
    folder = DOCS / "scaling"
    folder.mkdir(exist_ok=True)
    for figure in figures(facts):
        (folder / f"{figure.name}.svg").write_text(to_svg(figure), encoding="utf-8")
    results = HERE / "results" / "scaling.json"
    results.write_text(json.dumps(facts, indent=1) + "\n")


# ---- the text --------------------------------------------------------------------------------------------


def text_of(facts: dict[str, Any]) -> str:
    """All that is generated: the plots, the largest sizes, training in memory, exponents, what was stopped."""
    settings = facts["settings"]
    plots = (
        "![Processor seconds of each stage as one factor grows](scaling/time.svg)\n\n"
        "![Peak memory of each stage as one factor grows](scaling/memory.svg)"
    )
    parts = [plots, _largest(facts), _training(facts), _exponents(facts), _verdict(facts)]
    parts.append(
        f"Batches of {settings['batch']:,}, at most {settings['steps']} steps of an epoch; sizes of the factors "
        f"{settings['dim']}. At most {settings['limit']:g} s and {settings['memory']:g} GiB a stage. Load of the "
        f"machine before it began: {facts['load']:.1f}. {described(facts['machine'])}"
    )
    return "\n\n".join(part for part in parts if part)


def size_of(key: str) -> Size:
    """Back from the name of a size."""
    return Size(*map(int, key.split("-")))


def words(key: str) -> str:
    """A size in words."""
    size = size_of(key)
    counts = f"{size.users:,} users, {size.items:,} items, {size.interactions:,} interactions"
    return f"{counts}, {size.features} features"


def _of(facts: dict[str, Any], stage: str, key: str) -> dict[str, Any] | None:
    found = [one for one in facts["measured"] if one["stage"] == stage and one["size"] == key]
    return found[-1] if found else None


def _largest(facts: dict[str, Any]) -> str:
    """Each stage at the sizes where all grows together."""
    chain = facts["sizes"].get("together")
    if not chain:
        return ""
    table = Table(["stage", *(f"{size_of(key).interactions:,}" for key in chain)])
    memory = Table(list(table.header))
    for stage in STAGES:
        found = [_of(facts, stage, key) for key in chain]
        if any(found):
            table.rows.append([stage, *(_seconds(one) for one in found)])
            memory.rows.append([stage, *(_gib(one) for one in found)])
    sizes = "; ".join(words(key) for key in chain)
    return (
        f"**All together**: {sizes}.\n\nProcessor seconds (by the clock), by interactions; of bpr and both vbpr "
        f"those of an epoch's steps:\n\n{table.markdown}\n\n"
        f"Peak GiB of its own (plus mapped files):\n\n{memory.markdown}"
    )


def _seconds(one: dict[str, Any] | None) -> str:
    if one is None:
        return "-"
    return one.get("stopped") or f"{one['processor']:.3g} ({one['clock']:.3g})"


def _gib(one: dict[str, Any] | None) -> str:
    if one is None or not one.get("peak all"):
        return "-"
    return f"{one['peak own']:.2f} (+ {one['peak mapped']:.2f})"


def _training(facts: dict[str, Any]) -> str:
    """What training holds at a million items, features on disk."""
    key = facts["settings"]["large"]
    one = _of(facts, "vbpr", key)
    if one is None or "stopped" in one:
        return "" if one is None else f"**VBPR, {words(key)}**: {one['stopped']}."
    text = (
        f"**VBPR, {words(key)} (float16 on disk, copied into memory while it learns)**: {_held(one)}. Its time is "
        "that of its steps; what comes before them is the stage *start of training*."
    )
    other = _of(facts, "vbpr from disk", key)
    if other is None:
        return text
    found = other["stopped"] if "stopped" in other else _held(other)
    return (
        f"{text}\n\n**The same with no room for a copy**, the rows of each batch read from the file: {found}."
    )


def _held(one: dict[str, Any]) -> str:
    return (
        f"at most {one['peak own']:.2f} GiB of its own while it is fitted, {one['peak all']:.2f} GiB with the pages "
        f"of mapped files ({one['held']:.2f} GiB before it began); {one['per second']:,.0f} triples a second by the "
        "clock"
    )


def _exponents(facts: dict[str, Any]) -> str:
    """How the time of each stage grows with each factor."""
    by = {(one["stage"], one["factor"]): one for one in facts["growth"]}
    factors = [factor for factor in FACTORS if any(of == factor for _, of in by)]
    table = Table(["exponent of time (last step)", *factors])
    for stage in STAGES:
        cells = [_exponent(by.get((stage, factor))) for factor in factors]
        if any(cell != "" for cell in cells):
            table.rows.append([stage, *cells])
    return (
        "Processor time grows as the factor to this power, over all sizes, and (in brackets) from the second largest "
        f"to the largest. In bold: worse than linear, {facts['settings']['worst']:g} or more.\n\n{table.markdown}"
    )


def _exponent(one: dict[str, Any] | None) -> str:
    if one is None or one["exponent"] is None:
        return ""
    last = "" if one["last step"] is None else f" ({one['last step']:.2f})"
    cell = f"{one['exponent']:.2f}{last}"
    return f"**{cell}**" if one["worse than linear"] else cell


def _verdict(facts: dict[str, Any]) -> str:
    worse = [f"{one['stage']} with {one['factor']}" for one in facts["growth"] if one["worse than linear"]]
    stopped = [
        f"{one['stage']} at {words(one['size'])}: {one['stopped']}"
        for one in facts["measured"]
        if "stopped" in one
    ]
    text = f"Worse than linear: {', '.join(worse)}." if worse else "No stage grew worse than linear."
    return text + (f" Not measured: {'; '.join(stopped)}." if stopped else "")


# ---- the plots -------------------------------------------------------------------------------------------


def figures(facts: dict[str, Any]) -> list[Figure]:
    """Time and memory, a panel a stage."""
    return [
        _figure(
            facts,
            "time",
            "Processor seconds of each stage",
            lambda one: one["processor"],
        ),
        _figure(
            facts,
            "memory",
            "Peak memory of each stage, GiB of its own",
            lambda one: one["peak own"],
        ),
    ]


def _figure(facts: dict[str, Any], name: str, title: str, value: Any) -> Figure:
    drawings, rows = [], []
    factors = [factor for factor in FACTORS if factor in facts["sizes"]]
    for stage in STAGES:
        lines = {}
        for factor in factors:
            keys = facts["sizes"][factor]
            points = []
            for key in keys:
                one = _of(facts, stage, key)
                if one is not None and "stopped" not in one and _belongs(facts, stage, factor):
                    points.append((_times(factor, keys[0], key), float(value(one)), key))
            if len(points) > 1:
                lines[factor] = points
                rows += [{"stage": stage, "factor": factor, "times": x, "value": y} for x, y, _ in points]
        if lines:
            drawings.append(_panel(stage, lines, factors))
    lead = (
        "A panel a stage, both scales logarithmic: how many times as large as the least of its line, against what "
        "is measured. A line as steep as the thin straight one grows linearly."
    )
    return Figure(name, title, lead, tuple(drawings), pl.DataFrame(rows), tuple(factors))


def _belongs(facts: dict[str, Any], stage: str, factor: str) -> bool:
    return any(one["stage"] == stage and one["factor"] == factor for one in facts["growth"])


def _times(factor: str, first: str, key: str) -> float:
    """How many times as large: of the factor, or of interactions where all grow."""
    name = "interactions" if factor == "together" else factor
    return getattr(size_of(key), name) / getattr(size_of(first), name)


def _panel(title: str, lines: dict[str, list[tuple[float, float, str]]], factors: list[str]) -> Drawing:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    xs = [x for points in lines.values() for x, _, _ in points]
    ys = [max(y, 1e-6) for points in lines.values() for _, y, _ in points]
    to_x, x_ticks = axis(xs, _LEFT + 8, right - 8, log=True)
    to_y, y_ticks = axis(ys, bottom - 8, _TOP + 8, log=True)
    parts: list[Part] = [Text(_LEFT, 16, title, "head")]
    for y, text in y_ticks:
        parts += [Line(_LEFT, y, right, y, "grid"), Text(_LEFT - 6, y + 4, text, "tick", "end")]
    parts += [Text(x, bottom + 18, f"x{text}", "tick", "middle") for x, text in x_ticks]
    # As steep as linear growth, from the lowest point on, as far as there is room.
    far = min(max(xs), max(ys) / min(ys))
    if far > 1:
        parts.append(Line(to_x(1), to_y(min(ys)), to_x(far), to_y(min(ys) * far), "quiet"))
    for factor, points in lines.items():
        group = factors.index(factor)
        placed = [(to_x(x), to_y(max(y, 1e-6))) for x, y, _ in points]
        parts.append(Shape(polyline(placed), f"curve {look_of(group)}"))
        for place, (_, y, key) in zip(placed, points, strict=True):
            parts.append(Shape(outline(group, *place, 4), f"mark {look_of(group)}", f"{words(key)}: {y:.3g}"))
    name = f"{title}: " + "; ".join(
        f"{factor} from {points[0][1]:.3g} to {points[-1][1]:.3g}" for factor, points in lines.items()
    )
    return Drawing(name, _WIDTH, _HEIGHT, tuple(parts))
