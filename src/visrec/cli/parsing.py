"""From the words of a command to settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.errors import ConfigError, RunError

if TYPE_CHECKING:
    from visrec.features.features import Features
    from visrec.run_folder import Run


def experiment_values(source: Path, data: Path | None) -> dict[str, Any]:
    """The settings that a data set folder or an experiment file stands for, before options are applied."""
    if source.suffix == ".toml":
        from visrec.experiment import read_experiment

        return read_experiment(source, data=data)
    if data is not None:
        raise ConfigError(f"--data goes with an experiment.toml; {source} is taken for the data set itself.")
    return {"data": {"path": str(source)}}


def apply(values: dict[str, Any], table: str, **options: object) -> None:
    """Lay the options that were given over one table of the settings."""
    given = {key: value for key, value in options.items() if value is not None}
    if given:
        values.setdefault(table, {}).update(given)


def apply_features(
    values: dict[str, Any], folder: Path | None, extractor: str | None, given: dict[str, Any]
) -> None:
    """Lay what was said of features over the settings: a folder takes the place of an extractor, and the reverse."""
    if folder is not None:
        values["features"] = {"path": str(folder)}
    elif extractor is not None:
        values.get("features", {}).pop("path", None)
    apply(values, "features", extractor=extractor, **given)


def apply_protocol(values: dict[str, Any], name: str | None, users: int | None) -> None:
    """Lay `--protocol` and `--users` over [evaluation]. Another name takes nothing from the old one's settings."""
    if name is None and users is None:
        return
    table = values.setdefault("evaluation", {})
    before = table.get("protocol", {})
    before = {"name": before} if isinstance(before, str) else dict(before)
    if name is not None and name != before.get("name", "full"):
        before = {key: before[key] for key in ("users",) if key in before} | {"name": name}
    table["protocol"] = before | ({} if users is None else {"users": users})


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def whole_numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in names(text)]
    except ValueError:
        raise ConfigError(f"--cutoffs is '{text}'; expected whole numbers such as 20,100.") from None


def text_format(chosen: str | None, out: Path | None) -> str:
    """How a comparison is written: as asked for, or as the file is named, or as a table."""
    from visrec.evaluation.contest import FORMATS

    known = ["table", *FORMATS]
    if chosen is None:
        suffix = "" if out is None else out.suffix.removeprefix(".").replace("tex", "latex")
        return suffix if suffix in known else "table"
    if chosen not in known:
        raise ConfigError(f"--format is '{chosen}'; expected one of {', '.join(known)}.")
    return chosen


def features_settings(
    weights: list[str] | None,
    options: tuple[str | None, str | None, str | None, list[str] | None],
    standardize: bool | None,
    steps: tuple[int | None, bool, bool],
    float16: bool,
) -> dict[str, Any]:
    """The settings of features that were given: keys of `FeaturesConfig`."""
    layer, pool, precision, words = options
    pca, whiten, l2 = steps
    named = {"layer": layer, "pool": pool, "precision": precision}
    chosen = {key: value for key, value in named.items() if value is not None} | pairs(words or [])
    given = {
        "weights": weights_of(weights),
        "options": chosen or None,
        "standardize": standardize,
        "pca": pca,
        "whiten": whiten or None,
        "l2": l2 or None,
        "dtype": "float16" if float16 else None,
    }
    return {key: value for key, value in given.items() if value is not None}


def pairs(words: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` words; a value with commas is a list."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set is '{word}'; expected KEY=VALUE, such as --set input_size=224.")
        found[key.strip()] = [one.strip() for one in value.split(",")] if "," in value else value.strip()
    return found


def weights_of(words: list[str] | None) -> Any:
    """`--weights`: one for all, or a table by extractor; None where it was not given."""
    if not words:
        return None
    named = [word for word in words if "=" in word and not Path(word).exists()]
    if not named and len(words) == 1:
        return words[0]
    if len(named) < len(words):
        plain = next(word for word in words if word not in named)
        raise ConfigError(f"--weights {plain}: with several, say whose each is: --weights EXTRACTOR={plain}")
    return {name: value for name, _, value in (word.partition("=") for word in named)}


def image_file(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise ConfigError(f"--image {path}: no such file.")
    return path


def compared(folder: Path, extractor: str | None) -> Run | Features:
    """What a folder is: a run, or features alone."""
    from visrec.features.extractors import folder_name
    from visrec.features.features import META, Features
    from visrec.run_folder import Run

    if extractor is not None:
        folder = folder / folder_name(extractor)
    if (folder / META).is_file():
        return Features.load(folder)
    if (folder / "experiment.toml").is_file():
        return Run.load(folder)
    raise RunError(f"{folder}: {_what_else(folder)}")


def _what_else(folder: Path) -> str:
    """What a folder is that is neither a run nor features, and what to type."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        return f"{what}; expected a run folder (visrec run), or a folder of features (visrec extract)."
    if (folder / "comparison.json").is_file():
        return "is a comparison of features. Say by which extractor: --extractor NAME."
    tables = (f"{stem}.{kind}" for stem in ("interactions", "items", "images") for kind in ("csv", "parquet"))
    if (folder / "images").is_dir() or any((folder / name).is_file() for name in tables):
        return (
            f"is a data set, neither a run nor features. First: visrec extract {folder} --extractor NAME, "
            f"then: visrec similar {folder / 'features' / 'NAME'}"
        )
    return "is neither a run folder (visrec run) nor a folder of features (visrec extract)."


def check_format(form: str | None, out: Path | None, *, as_json: bool) -> None:
    """Refuse formats that there are not, and options that go together badly, before anything slow."""
    from visrec.evaluation.tables import FORMATS

    if form is not None and form not in FORMATS:
        raise ConfigError(f"--format is '{form}'; expected one of {', '.join(FORMATS)}.")
    if form is None and out is not None:
        raise ConfigError("--out goes with --format: add --format md, latex, csv or json.")
    if form is not None and as_json:
        raise ConfigError("--json prints the whole report, --format the leaderboard; give one of them.")
