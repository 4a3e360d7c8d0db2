"""From the layout of another program or of a published data set to ours, and from ours to theirs."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visrec import registry
from visrec.data.datasets.named import NamedDataset
from visrec.data.formats.format import Format
from visrec.errors import ConfigError
from visrec.files import replacing_folder, write_json
from visrec.progress import Progress

RECORD = "conversion.json"


@dataclass(frozen=True)
class Conversion:
    """What was found and made.

    Attributes:
        files: one row a file that was found or written: `file`, `what`, `became`.
        notes: what was decided or left out, one sentence each.
    """

    files: list[dict[str, str]]
    notes: list[str]


def convert(
    name: str,
    source: str | Path,
    data: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    copy_images: bool = False,
    download: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Make a data set folder of the files of another program, or of a published data set: whole or not at all.

    Args:
        name: of a format (`visrec formats`) or of a data set (`visrec datasets`).
        source: the folder where the files lie, or one of them. Nothing in it is changed or run.
        data: the folder to make; there must be nothing yet.
        options: of that format, by name; texts are turned into what they should be.
        copy_images: copy picture files into the folder instead of pointing to where they lie.
        download: first download into `source` what is published at a stable address with a checksum; nothing is
            ever downloaded otherwise.
        progress: called with (done, in all, a note).

    Returns:
        What was found, and what each file became; it also stands in `data/conversion.json`.

    Raises:
        ConfigError: the name or an option is unknown, or `data` is there already.
        DataError: a file is missing, damaged, wants to run code, does not fit the others, or cannot be downloaded.
    """
    from visrec.converting.fetching import fetch_published
    from visrec.converting.own import write_own

    entry, source, data = _entry(name), Path(source), Path(data)
    _refuse_existing(data)
    make = entry.convert or entry.read
    if make is None:
        command = (
            f"export {name} {source} {data}" if isinstance(entry, Format) else f"datasets {name} --out {data}"
        )
        raise ConfigError(f"{name} is not read from files: visrec {command}")
    chosen = parsed_options(make, options or {}, of=name)
    fetched = (
        fetch_published(entry, source, edition=chosen.get("edition"), progress=progress) if download else []
    )
    with replacing_folder(data) as folder:
        if entry.convert is not None:
            made: Conversion = entry.convert(source, folder, progress=progress, **chosen)
        else:
            found = make(source, progress=progress, **chosen)
            written = write_own(found, folder, copy_images=copy_images, progress=progress)
            made = Conversion([*found.files], [*found.notes, *written])
        made = Conversion(made.files, [*fetched, *made.notes])
        write_json(folder / RECORD, {"format": name, "files": made.files, "notes": made.notes})
    return made


def export(
    name: str,
    data: str | Path,
    out: str | Path,
    *,
    features: Sequence[str | Path] = (),
    min_rating: float | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write a data set folder in the format of another program: whole or not at all.

    Args:
        name: of a format that can be written (`visrec formats`).
        data: our folder.
        out: the folder to make; there must be nothing yet.
        features: folders of features to bring along.
        min_rating: only interactions rated at least this.
        options: of that format, by name.
        progress: called with (done, in all, a note).

    Raises:
        ConfigError: the name or an option is unknown, the format is only read, or `out` is there already.
        DataError: the data set or the features cannot be read.
    """
    from visrec.converting.own import read_own

    entry, out = _entry(name), Path(out)
    if not isinstance(entry, Format) or entry.write is None:
        able = [
            one for one in registry.names("formats") if registry.resolve("formats", one).write is not None
        ]
        raise ConfigError(f"{name} is only read. Formats that are written: {', '.join(able)}.")
    chosen = parsed_options(entry.write, options or {}, of=name)
    _refuse_existing(out)
    found = read_own(Path(data), features=features, min_rating=min_rating)
    with replacing_folder(out) as folder:
        notes = entry.write(found, folder, progress=progress, **chosen)
        written = _listed_files(folder)
    return Conversion(
        [{"file": one, "what": what, "became": str(out / one)} for one, what in written.items()], [*notes]
    )


def _listed_files(folder: Path) -> dict[str, str]:
    """What was written, by name: how large; a folder of many files counts as one."""
    within: dict[Path, list[Path]] = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        within.setdefault(path.parent.relative_to(folder), []).append(path)
    listed = {}
    for where, files in within.items():
        size = sum(path.stat().st_size for path in files)
        if len(files) > _MANY and where != Path():
            listed[f"{where.as_posix()}/"] = f"{len(files):,} files, {_in_words(size)}"
        else:
            listed |= {(where / one.name).as_posix(): _in_words(one.stat().st_size) for one in files}
    return dict(sorted(listed.items()))


_MANY = 6  # files of a folder that are listed one by one


def _in_words(size: int) -> str:
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:,.1f} {unit}"
    return f"{size} B"


def _entry(name: str) -> Format | NamedDataset:
    for kind in ("formats", "datasets"):
        if name in registry.names(kind):
            entry: Format | NamedDataset = registry.resolve(kind, name)
            return entry
    known = [*registry.names("formats"), *registry.names("datasets")]
    raise ConfigError(
        registry.unknown_name("format or data set", name, known, "visrec formats", "visrec datasets")
    )


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already. Give a new folder, or remove this one.")


# ---- what there is ---------------------------------------------------------------------------------


def listed_options(name: str) -> list[dict[str, str]]:
    """One row an option of a format or data set: name, command, what it means, what it takes, default."""
    entry = _entry(name)
    makers = {"convert": entry.convert or entry.read, "export": getattr(entry, "write", None)}
    return [
        {
            "option": f"--set {key}=…",
            "command": command,
            "what": one.what,
            "takes": _words_of(one.type),
            "default": _shown(one.default),
        }
        for command, make in makers.items()
        if make is not None
        for key, one in options_of(make).items()
    ]


def _words_of(kind: Any) -> str:
    """What a value of a type is, for people."""
    inner = [one for one in typing.get_args(kind) if one is not type(None)]
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(str, inner))
    if typing.get_origin(kind) is typing.Annotated or len(inner) == 1:
        return _words_of(inner[0])
    words = {str: "text", bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return words.get(kind, str(kind))


def _shown(default: Any) -> str:
    if isinstance(default, str) and default.isspace():
        return repr(default)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


# ---- options ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """A keyword of a function that reads or writes a format.

    Attributes:
        type: as it is annotated, with its limits.
        default: its value where it is not given.
        what: what the function's docstring says of it.
    """

    type: Any
    default: Any
    what: str


def options_of(make: Callable[..., Any]) -> dict[str, Option]:
    """The options of a function that reads or writes a format, by name."""
    types = typing.get_type_hints(make, include_extras=True)
    told = _arguments(inspect.getdoc(make) or "")
    return {
        name: Option(types.get(name, str), parameter.default, told.get(name, ""))
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "progress"
    }


def _arguments(docstring: str) -> dict[str, str]:
    """What the section `Args:` says of each argument, in one line."""
    found: dict[str, str] = {}
    name = ""
    section = re.search(r"^Args:\n((?: +.*\n?|\n)*)", docstring, re.MULTILINE)
    for line in section[1].splitlines() if section else ():
        begins = re.match(r"    (\w+): (.*)", line)
        if begins:
            name, found[begins[1]] = begins[1], begins[2].strip()
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def parsed_options(make: Callable[..., Any], given: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Options as their types ask for; `ConfigError` for one that does not exist or does not fit."""
    from pydantic import TypeAdapter, ValidationError

    known = options_of(make)
    chosen = {}
    for name, value in given.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ConfigError(f"{of} has no option '{name}'. Its options: {listed}.")
        try:
            chosen[name] = TypeAdapter(known[name].type).validate_python(value)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise ConfigError(f"--set {name}={value}: {what}.") from None
    return chosen
