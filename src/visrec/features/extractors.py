"""From names to extractors: `color`, `resnet50`, `onnx:FILE`, `resnet50+color`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visrec.errors import ConfigError
from visrec.features.extractor import Extractor, check_options
from visrec.registry import names, resolve

Weights = str | Path | Mapping[str, str | Path]
"""For all networks: "default", "random" or a file; or a mapping from an extractor's name to one of these."""

ONNX = "onnx:"


def create_extractor(name: str, weights: Weights = "default", **options: Any) -> Extractor:
    """An extractor by name, or several joined by "+".

    Args:
        name: A registered one ("color"), a network of torchvision or timm, or "onnx:FILE".
        weights: For networks. A single file is for the only network of a combination.
        options: Of the extractor. In a combination, each option goes to every part that has it; "part.option" to one.

    Raises:
        ConfigError: there is none of that name, no such option, or weights were given to one that has none.
        FeaturesError: the weights cannot be had, read, or do not fit.
    """
    parts = split_name(name)
    if len(set(parts)) < len(parts):
        raise ConfigError(f"The extractor '{name}' names a part twice; name each once.")
    given = _weights_of(parts, weights)
    chosen = _options_of(parts, options)
    made = [_create(part, given[part], chosen[part]) for part in parts]
    if len(made) == 1:
        return made[0]
    from visrec.features.combination import Combination

    return Combination(made)


def split_name(name: str) -> list[str]:
    """The parts of "a+b"; a file's own "+" is left alone.

    Raises:
        ConfigError: a part is empty.
    """
    parts: list[str] = []
    for part in name.split("+"):
        if parts and parts[-1].startswith(ONNX) and not _is_whole(parts[-1].removeprefix(ONNX), part):
            parts[-1] += f"+{part}"
        else:
            parts.append(part.strip())
    if not all(parts):
        raise ConfigError(
            f"The extractor '{name}' has an empty part; expected names joined by \"+\", such as resnet50+color."
        )
    return parts


def _is_whole(file: str, more: str) -> bool:
    """Whether the path of an ONNX file ends here, though the file may have been moved away."""
    return Path(file).is_file() or (file.endswith(".onnx") and not Path(f"{file}+{more}").is_file())


def has_option(name: str, option: str) -> bool:
    """Whether an extractor, or a part of a combination, has an option."""
    return any(option in _config_of(part).model_fields for part in split_name(name))


def options_for_regions(name: str) -> dict[str, Any]:
    """The options with which an extractor gives regions.

    Raises:
        ConfigError: it gives none.
    """
    if len(split_name(name)) == 1:
        for option, value in (("pool", "regions"), ("grid", 4)):
            if has_option(name, option):
                return {option: value}
    raise ConfigError(
        f"The extractor '{name}' gives no regions, which this model looks at. Choose a network or color, for all "
        f"models (--extractor resnet50) or under [regions] of an experiment.toml."
    )


def folder_name(name: str) -> str:
    """A name for a folder of an extractor's features: "timm:resnet50" -> "timm_resnet50"."""
    parts = [
        f"onnx_{Path(part.removeprefix(ONNX)).stem}" if part.startswith(ONNX) else part
        for part in split_name(name)
    ]
    safe = ("".join(sign if sign.isalnum() or sign in "_-.@" else "_" for sign in part) for part in parts)
    return "+".join(safe).lstrip(".")


def with_paths(name: str, change: Callable[[str], str]) -> str:
    """A name with the path of each ONNX file in it changed."""
    return "+".join(
        ONNX + change(part.removeprefix(ONNX)) if part.startswith(ONNX) else part for part in split_name(name)
    )


def weights_with_paths(weights: Any, change: Callable[[str], str]) -> Any:
    """Weights, of one network or by name, as JSON and TOML hold them, the path of each file changed."""
    if isinstance(weights, Mapping):
        return {name: weights_with_paths(one, change) for name, one in weights.items()}
    is_file = isinstance(weights, str | Path) and str(weights) not in ("default", "random")
    return change(str(weights)) if is_file else weights


def resolved(file: str) -> str:
    """The whole path of a file."""
    return str(Path(file).resolve())


def is_network(name: str) -> bool:
    """Whether a name is one of torchvision or timm, whose weights are a matter of their own."""
    return name not in names("extractors") and not name.startswith(ONNX)


def with_files(name: str, weights: Weights) -> tuple[str, Weights]:
    """A name in which weights given for an ONNX file are that file, and the weights of the other networks.

    As elsewhere, a single file is for the only network.
    """
    parts = split_name(name)
    networks = [part for part in parts if part not in names("extractors")]
    if isinstance(weights, Mapping):
        files = {part: file for part, file in weights.items() if part in parts and part.startswith(ONNX)}
        weights = {part: file for part, file in weights.items() if part not in files}
    elif len(networks) == 1 and networks[0].startswith(ONNX) and str(weights) != "default":
        files, weights = {networks[0]: weights}, "default"
    else:
        return name, weights
    return "+".join(f"{ONNX}{files[part]}" if part in files else part for part in parts), weights


def _create(name: str, weights: str | Path, options: dict[str, Any]) -> Extractor:
    if not is_network(name) and str(weights) != "default":
        has = "its weights in its file" if name.startswith(ONNX) else "no weights"
        raise ConfigError(f"The extractor '{name}' has {has}; found '{weights}'. Leave --weights out.")
    if is_network(name):
        from visrec.features.backbones import Backbone

        return Backbone(name, weights=weights, **options)
    if name.startswith(ONNX):
        from visrec.features.onnx import Onnx

        return Onnx(name.removeprefix(ONNX), **options)
    made: Extractor = resolve("extractors", name)(**options)
    return made


def _weights_of(parts: list[str], weights: Weights) -> dict[str, str | Path]:
    """The weights of each part."""
    if isinstance(weights, Mapping):
        unknown = [one for one in weights if one not in parts]
        if unknown:
            raise ConfigError(
                f"Weights are given for '{unknown[0]}', which is no part of this extractor; expected one of "
                f"{', '.join(parts)}."
            )
        return {part: weights.get(part, "default") for part in parts}
    networks = [part for part in parts if is_network(part)]
    is_file = str(weights) not in ("default", "random")
    if is_file and len(networks) > 1:
        raise ConfigError(
            f"--weights {weights} could be for any of {', '.join(networks)}. Say which: --weights {networks[0]}=FILE."
        )
    if len(parts) == 1:  # where it has none, `_create` says so
        return {parts[0]: weights}
    return {part: weights if part in networks else "default" for part in parts}


def _options_of(parts: list[str], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each part; every option must be known to one of them."""
    known = {part: set(_config_of(part).model_fields) for part in parts}
    chosen: dict[str, dict[str, Any]] = {part: {} for part in parts}
    # What is said of one part comes last: it counts more than what is said of all.
    for key, value in sorted(options.items(), key=lambda pair: "." in pair[0]):
        part, dot, option = key.rpartition(".")
        owners = [part] if dot and part in parts else [one for one in parts if key in known[one]]
        if not owners or (dot and option not in known[owners[0]]):
            if len(parts) == 1:
                check_options(parts[0], _config_of(parts[0]), {key: value})
            have = "; ".join(f"{one}: {', '.join(_config_of(one).model_fields) or 'none'}" for one in parts)
            raise ConfigError(f"None of {', '.join(parts)} has an option '{key}'. Their options: {have}.")
        for owner in owners:
            chosen[owner][option if dot else key] = value
    return chosen


def _config_of(name: str) -> Any:
    if name.startswith(ONNX):
        from visrec.features.onnx import OnnxOptions

        return OnnxOptions
    if name in names("extractors"):
        return resolve("extractors", name).Config
    from visrec.features.backbones import NetworkOptions

    return NetworkOptions
