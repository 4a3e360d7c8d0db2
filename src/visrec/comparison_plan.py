"""What a comparison of features will do: a run for each extractor, checked before anything slow begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visrec import registry
from visrec.errors import ConfigError, RunError
from visrec.experiment import Experiment
from visrec.features.extractors import ONNX, folder_name, has_option, split_name
from visrec.features.finishing import Steps
from visrec.run_folder import Run
from visrec.runs import planned

BASELINE = "random"
"""The model that shows what chance gives, and the name of its folder."""


def plan(base: Experiment, extractors: Sequence[str], out: Path) -> dict[str, Run]:
    """The run of each extractor by its name, with all settings. Writes nothing.

    Args:
        base: data, models and seed, and the features' settings for all extractors.
        extractors: names.
        out: the folder of the comparison; what came of earlier calls must have the same data and settings.

    Raises:
        ConfigError: a name is unknown or comes twice, or a model learns from no features.
        RunError: the folder holds a comparison of other data or settings, or something else.
    """
    _check_folder(out)
    if base.features.path is not None:
        raise ConfigError(
            f"Extractors are compared by the features that they make. Leave out path = '{base.features.path}' under "
            f"[features]."
        )
    events = base.data.events
    if events is not None and Path(events).suffix != ".parquet":
        raise ConfigError(
            f"The runs of a comparison must have the same feedback, but events = '{events}' goes on growing. Make "
            f"one run with it, and give events.parquet of its folder instead."
        )
    sources = _checked_names(extractors)
    earlier = {name: one for name, one in runs_in(out, with_baseline=True).items() if _came_to_something(one)}
    known = {name: table for one in earlier.values() for name, table in one.experiment.models.items()}
    # A model named again without settings keeps those it had, as in any run folder.
    base = base.replace(models={name: given or known.get(name, {}) for name, given in base.models.items()})
    for name in base.models:
        if not learns_from_features(base, name):
            raise ConfigError(
                f"The model '{name}' learns from no features: with every extractor it would be the same. Leave it "
                f"out; name models such as visrank,vbpr. (Random order is always there to compare with.)"
            )
    runs = {}
    options = _options(base, sources)
    for name, own in _weights(base, sources).items():
        features = base.features.replace(extractor=name, weights=own, options=options[name])
        runs[name] = planned(base.replace(features=features), out / folder_name(name))
    _check_same(next(iter(runs.values())), {name: one for name, one in earlier.items() if name not in runs})
    next(iter([*earlier.values(), *runs.values()])).split  # noqa: B018  raises where data are at fault, or have changed
    return runs


def runs_in(out: Path, *, with_baseline: bool = False) -> dict[str, Run]:
    """The runs in a comparison's folder by the name of the extractor, and perhaps the baseline by its own."""
    found = {}
    for path in sorted(out.iterdir()) if out.is_dir() else []:
        if path.name.startswith(".") or not (path / "experiment.toml").is_file():
            continue
        one = Run.load(path)
        if path.name == folder_name(one.experiment.features.extractor):
            found[one.experiment.features.extractor] = one
        elif with_baseline and path.name == BASELINE:
            found[BASELINE] = one
    return found


def baseline_of(experiment: Experiment) -> Experiment:
    """Random order on the data of an experiment."""
    return Experiment(
        title=experiment.title,
        data=experiment.data,
        models={BASELINE: {}},
        evaluation=experiment.evaluation,
        seed=experiment.seed,
    )


def learns_from_features(experiment: Experiment, model: str) -> bool:
    """Whether another extractor would make another model."""
    return not {"vector", "regions"}.isdisjoint(experiment.build(model).learns_from)


def _check_folder(out: Path) -> None:
    """Refuse a folder that is neither empty nor a comparison."""
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; --out must be a folder.")
    if (out / "experiment.toml").is_file():
        raise RunError(f"{out}: is a run, not a comparison of features; choose another --out.")
    if not out.is_dir() or (out / "comparison.json").is_file():
        return
    for path in sorted(out.iterdir()):
        of_a_comparison = path.name == "costs.json" or (path / "experiment.toml").is_file()
        if not path.name.startswith(".") and not of_a_comparison:
            raise RunError(f"{out}: holds '{path.name}' and is not a comparison; choose another --out.")


def _checked_names(extractors: Sequence[str]) -> dict[str, str]:
    """Where each extractor comes from."""
    if not extractors:
        raise ConfigError("No extractors are named; expected names such as color,resnet50.")
    kinds: dict[str, tuple[str, str]] = {}
    folders = {BASELINE: "the baseline"}
    for name in extractors:
        kind, folder = _kind(name), folder_name(name)
        if kind in kinds.values():
            raise ConfigError(f"The extractor '{name}' is named twice. Name each one once.")
        if folder in folders:
            raise ConfigError(f"'{name}' and {folders[folder]} would be kept in one folder. Leave one out.")
        kinds[name], folders[folder] = kind, f"'{name}'"
    return {name: source for name, (source, _) in kinds.items()}


def _kind(extractor: str) -> tuple[str, str]:
    """Where an extractor comes from and its name there; `ConfigError` with near misses for an unknown one."""
    parts = split_name(extractor)
    if len(parts) > 1:
        for part in parts:
            _kind(part)
        return "several", "+".join(parts)
    if extractor in registry.names("extractors") or extractor.startswith(ONNX):
        return "visrec", extractor
    from visrec.features.architectures import resolve_backbone

    return resolve_backbone(extractor)


def _options(base: Experiment, sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The options of each extractor: "extractor.option" of one, a bare one of all that have it."""
    chosen: dict[str, dict[str, Any]] = {name: {} for name in sources}
    for key, value in base.features.options.items():
        owner = next((name for name in sources if key.startswith(f"{name}.")), None)
        if owner is not None:
            chosen[owner][key.removeprefix(f"{owner}.")] = value
            continue
        owners = [name for name in sources if has_option(name, key)]
        if not owners:
            raise ConfigError(f"None of {', '.join(sources)} has an option '{key}'.")
        for name in owners:
            chosen[name][key] = value
    return chosen


def _weights(base: Experiment, sources: Mapping[str, str]) -> dict[str, str]:
    """The weights of each extractor."""
    weights = base.features.weights
    given, common = (weights, "default") if isinstance(weights, dict) else ({}, weights)
    for name, weights in given.items():
        if name not in sources:
            message = registry.unknown_name("extractor", name, list(sources), "--extractors")
            raise ConfigError(f"--weights {name}={weights}: {message}")
        if sources[name] == "visrec" and weights != "default":
            raise ConfigError(f"The extractor '{name}' has no weights; found '{weights}'. Leave them out.")
    others = [name for name, source in sources.items() if source != "visrec" and name not in given]
    if common not in ("default", "random") and len(others) > 1:
        raise ConfigError(
            f"The weights {common} are of one network, and there are {', '.join(others)}. Say whose they are: "
            f"--weights {others[0]}={common}"
        )
    return {name: given.get(name, common if name in others else "default") for name in sources}


def _came_to_something(one: Run) -> bool:
    return bool(one.trained) or (one.path / "features").is_dir()


def _check_same(new: Run, others: Mapping[str, Run]) -> None:
    """Refuse data or settings other than those of the runs that are there and stay as they are."""
    for name, old in others.items():
        for part in ("data", "seed") if name == BASELINE else ("data", "seed", "evaluation"):
            if getattr(old.experiment, part) != getattr(new.experiment, part):
                raise RunError(
                    f"{old.path.parent}: holds a comparison with other settings of [{part}]. "
                    f"Choose another --out folder, or give the same settings."
                )
        if name == BASELINE:
            continue
        for step in (*Steps.model_fields, "dtype"):
            before, now = getattr(old.experiment.features, step), getattr(new.experiment.features, step)
            if before != now:
                raise RunError(
                    f"{old.path}: was made with {step} = {before}, not {now}. "
                    f"Choose another --out folder, or give the same settings."
                )
        for model, settings in old.experiment.models.items():
            if new.experiment.models.get(model, settings) != settings:
                raise RunError(
                    f"{old.path}: was made with other settings of the model '{model}'. Name {name} among the "
                    f"extractors too, so that it is done again, or choose another --out folder."
                )
