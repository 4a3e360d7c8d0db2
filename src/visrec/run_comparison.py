"""Models of several runs side by side, where they were judged on the same data in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visrec.errors import ConfigError, RunError
from visrec.evaluation.contest import Contest, contest
from visrec.evaluation.protocol import Report
from visrec.run_folder import Run

_NOT_JUDGING = (
    "cutoffs",
    "intervals",
    "warning",
    "cautions",
    "candidates",
    "left_out",
    "n_users",
    "settings",
)
"""What runs may have otherwise: more metrics do not change those that both have, intervals are made anew, and words
follow from the settings."""


def compare(
    runs: Sequence[str | Path | Run], *, metrics: Sequence[str] | None = None, baseline: str | None = None
) -> Contest:
    """Compare the models of one run or several with one of them, on the same users.

    Args:
        runs: run folders. With several, models are called "run/model".
        metrics: such as "ndcg@20"; None: the first nDCG, and AUC.
        baseline: a model's name (with several runs also "run/model"); None: the best by the first metric.

    Raises:
        RunError: a folder is no run or has no reports, or data, split or protocol differ.
        ConfigError: a run is named twice, there is one model alone, or there is no such metric or baseline.
    """
    found = [one if isinstance(one, Run) else Run.load(one) for one in runs]
    if not found:
        raise ConfigError("Name at least one run folder to compare the models of.")
    paths = [one.path.resolve() for one in found]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"{path} is named twice; name each run once.")
    reports = {label: _reports(one) for label, one in zip(_labels(paths), found, strict=True)}
    named = dict(zip(reports, found, strict=True))
    _check_same("data", {label: _data(one) for label, one in named.items()})
    _check_same("split", {label: _split(one) for label, one in named.items()})
    _check_same("protocol", {label: _protocol(one) for label, one in named.items()})
    models = {
        (name if len(found) == 1 else f"{label}/{name}"): report
        for label, mine in reports.items()
        for name, report in mine.items()
    }
    provenance = {
        label: {"path": str(one.path), **{key: one.provenance[key] for key in ("data", "models", "protocol")}}
        for label, one in named.items()
    }
    return contest(models, metrics=metrics, baseline=_full_name(baseline, models), provenance=provenance)


def _reports(one: Run) -> dict[str, Report]:
    reports = one.reports
    if not reports:
        raise RunError(f"{one.path}: has no reports; `visrec evaluate {one.path}` makes them.")
    return reports


def _labels(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    parts = [path.parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-length:]).removeprefix("//") for part in parts]
        if len(set(labels)) == len(labels):
            break
    return labels


def _full_name(baseline: str | None, models: Mapping[str, Report]) -> str | None:
    """A baseline that is named without its run, where only one run has such a model."""
    if baseline is None or baseline in models:
        return baseline
    ends = [name for name in models if name.endswith(f"/{baseline}")]
    if len(ends) > 1:
        raise ConfigError(f"Several runs have a model '{baseline}'. Name one of {', '.join(ends)}.")
    return ends[0] if ends else baseline


# ---- what must be the same -------------------------------------------------------------------------


def _data(one: Run) -> dict[str, Any]:
    """What the data are, in the words of data.json as the reports were made."""
    return _picked(one.provenance["data"], ("digest", "users", "items", "interactions"))


def _split(one: Run) -> dict[str, Any]:
    facts = one.provenance["data"]
    how = facts["split"]
    return {
        **(how if isinstance(how, dict) else {"name": how}),
        **_picked(facts, ("train", "valid", "test", "test_users", "split_digest")),
    }


def _protocol(one: Run) -> dict[str, Any]:
    protocol = one.provenance["protocol"]
    every = {
        **protocol,
        **protocol.get("settings", {}),
    }  # each setting by itself, so that a difference reads well
    return {key: value for key, value in every.items() if key not in _NOT_JUDGING}


def _picked(facts: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: facts[key] for key in keys if key in facts}


def _check_same(what: str, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `RunError` with the first thing in which runs differ, and which run has which value."""
    first, *others = facts
    for other in others:
        keys = [
            key for key in {**facts[first], **facts[other]} if facts[first].get(key) != facts[other].get(key)
        ]
        if keys:
            told = "; ".join(
                f"{key} is {_said(facts[first], key)} in {first} and {_said(facts[other], key)} in {other}"
                for key in keys
            )
            again = " `visrec evaluate RUN` judges an older run anew." if "version" in keys else ""
            if any(key not in facts[one] for key in keys for one in (first, other)):
                again = (
                    " What is not known in an older run is written when `visrec run` with its experiment.toml goes "
                    "over it again."
                )
            raise RunError(
                f"The runs have not the same {what}, so their numbers cannot be compared: {told}.{again}"
            )


def _said(facts: Mapping[str, Any], key: str) -> str:
    if key not in facts:
        return "not known"
    text = "not set" if facts[key] is None else str(facts[key])
    return f"{text[:12]}…" if len(text) == 64 else text
