"""Better settings for a model, found on the validation part alone; the test part is never looked at.

A folder describes itself: `{trials.log, trials.csv, best.toml}`, and the features that trials share. `trials.log` is
the journal of optuna, which the search goes on from.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from visrec.config import digest_of
from visrec.content import Content
from visrec.data.splits import Split
from visrec.errors import ConfigError, DataError, DivergedError, RunError
from visrec.evaluation.metrics import metric_names
from visrec.evaluation.protocol import mean_metric
from visrec.experiment import Experiment
from visrec.files import replacing, write_json
from visrec.recommender import Recommender
from visrec.run_folder import load_data
from visrec.runs import content_of
from visrec.space import Choice, IntRange, Range
from visrec.stages import Stage, silent

if TYPE_CHECKING:
    import optuna

JOURNAL, TRIALS, BEST, ABOUT = "trials.log", "trials.csv", "best.toml", "tuning.json"
_GIVEN = "given"  # marks the trial of the settings as they were


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a search found.

    Attributes:
        best: the experiment with the best settings.
        trials: one row a trial, best first: trial, value (of the metric on the validation part), seconds, and one
            column a setting; trials that diverged have no value.
        metric: what was maximised.
    """

    best: Experiment
    trials: pl.DataFrame
    metric: str


def tune(
    experiment: Experiment,
    model: str,
    out: str | Path,
    *,
    trials: int = 30,
    metric: str = "ndcg@20",
    stage: Stage = silent,
) -> Tuning:
    """Search a model's declared space (`Config.space`) with tree-structured Parzen estimators (Bergstra et al. 2011).

    The first trial has the settings that the experiment gives, so that the best is never worse on the validation
    part. Settings that the experiment gives stay as they are; the others of the space are searched. Interrupted,
    the same call goes on; asked for more trials, it adds them. The same calls give the same trials.

    Args:
        experiment: data, features, and the model with settings of its own, if any.
        model: its name in the experiment.
        out: the folder of the search.
        trials: in all, with those that are there.
        metric: to maximise on the validation part: "auc", "ndcg@20", …
        stage: opens progress displays.

    Raises:
        ConfigError: the model declares no space, the metric is unknown, or optuna is missing.
        DataError: the split has no validation part.
        RunError: the folder holds another search, or something else.
        DivergedError: no trial gave a result.
    """
    optuna = _optuna()
    built = experiment.build(model)
    given = experiment.models[model]
    space: dict[str, Range] = {name: r for name, r in built.config.space.items() if name not in given}
    if not space:
        raise ConfigError(
            f"The model '{model}' has nothing to search: it declares no space, or all of it is given. `visrec run` "
            f"takes it as it is."
        )
    cutoff = metric.rpartition("@")[2]
    if metric not in metric_names((int(cutoff),) if cutoff.isdecimal() and int(cutoff) > 0 else (20,)):
        raise ConfigError(f"metric is '{metric}'; expected one of {', '.join(metric_names((20,)))}.")
    out = Path(out)
    only = experiment.replace(models={model: given}).resolved().replace(models={model: given})
    data = load_data(experiment)
    split = experiment.split(data)
    if len(split.valid) == 0:
        raise DataError(
            "The validation part is empty, and the test part must not choose settings. Choose a split with one: "
            "--split leave_last_out, or by_time and by_ratio with valid_share."
        )
    about = {
        "model": model,
        "metric": metric,
        "experiment": digest_of(only.model_dump(mode="json")),
        "train": split.train.digest,
        "valid": split.valid.digest,
    }
    _claim(out, about)
    content = content_of(only, data, out, built.learns_from, stage=stage)
    _claim(out, {**about, "content": built.content_digests(content)})
    search = _Search(only, model, split, content, out, metric, space)
    study = optuna.create_study(
        study_name=model, storage=_journal(out / JOURNAL), direction="maximize", load_if_exists=True
    )
    with stage(f"tuning: {model}") as progress:
        search.run(study, trials, progress)
    return search.result(study)


@dataclass(frozen=True)
class _Search:
    """A search: what is tried, on what."""

    experiment: Experiment
    model: str
    split: Split
    content: Content
    out: Path
    metric: str
    space: dict[str, Range]

    def run(self, study: optuna.Study, trials: int, progress: Callable[[int, int, str], None] | None) -> None:
        from optuna.trial import TrialState

        for trial in study.get_trials(
            deepcopy=False, states=(TrialState.RUNNING,)
        ):  # of a call that was ended
            study.tell(trial.number, state=TrialState.FAIL)
        done = len(self.finished(study))
        while done < trials:
            if progress is not None:
                progress(done, trials, self.note(study))
            self.attempt(study, done)
            done = len(self.finished(study))
            self.write(study)
        if progress is not None:
            progress(done, trials, self.note(study))

    def attempt(self, study: optuna.Study, number: int) -> None:
        """One trial. What it tries depends on the trials before and its number alone, not on interruptions."""
        import optuna

        # Its own generator, from the number of the trial: a sampler's state does not survive its process.
        study.sampler = optuna.samplers.TPESampler(
            seed=_seed(self.experiment.seed, number), n_startup_trials=8
        )
        trial = study.ask()
        settings: dict[str, Any] = {}
        if number:
            settings = {name: _suggest(trial, name, one) for name, one in self.space.items()}
        else:
            trial.set_user_attr(_GIVEN, True)
        start = time.perf_counter()
        try:
            value: float | None = self.judge(settings)
        except DivergedError as error:
            value = None
            trial.set_user_attr("diverged", str(error))
        trial.set_user_attr("settings", settings)
        trial.set_user_attr("seconds", round(time.perf_counter() - start, 3))
        if value is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)

    def judge(self, settings: dict[str, Any]) -> float:
        """The metric on the validation part of a model with these settings."""
        fitted = self.built(settings)
        fitted.fit(self.split.train, self.content, valid=self.split.valid)
        known = Split(self.split.train, self.split.valid, self.split.valid)  # no test part to be tempted by
        return mean_metric(fitted, known, self.metric, part="valid")

    def built(self, settings: dict[str, Any]) -> Recommender:
        return self.best_of(settings).build(self.model)

    def best_of(self, settings: dict[str, Any]) -> Experiment:
        given = self.experiment.models[self.model]
        return self.experiment.replace(models={self.model: {**given, **settings}})

    def finished(self, study: optuna.Study) -> list[Any]:
        from optuna.trial import TrialState

        return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))

    def best(self, study: optuna.Study) -> Any | None:
        """The best trial, the first of equals; None before there is one."""
        valued = [trial for trial in self.finished(study) if trial.value is not None]
        return max(valued, key=lambda trial: (trial.value, -trial.number)) if valued else None

    def note(self, study: optuna.Study) -> str:
        best = self.best(study)
        return "" if best is None else f"best {self.metric} {best.value:.4f}"

    def table(self, study: optuna.Study) -> pl.DataFrame:
        rows = []
        defaults = self.built({}).config.model_dump(mode="json")
        for number, trial in enumerate(self.finished(study)):
            settings = trial.user_attrs["settings"]
            tried = {name: settings.get(name, defaults[name]) for name in self.space}
            rows.append(
                {"trial": number, "value": trial.value, "seconds": trial.user_attrs["seconds"], **tried}
            )
        table = pl.DataFrame(rows, infer_schema_length=None)
        return table.sort("value", "trial", descending=[True, False], nulls_last=True)

    def write(self, study: optuna.Study) -> None:
        """trials.csv, and best.toml once there is one."""
        with replacing(self.out / TRIALS) as temporary:
            self.table(study).write_csv(temporary)
        best = self.best(study)
        if best is not None:
            self.best_of(best.user_attrs["settings"]).to_toml(self.out / BEST)

    def result(self, study: optuna.Study) -> Tuning:
        best = self.best(study)
        if best is None:
            why = next((trial.user_attrs.get("diverged") for trial in self.finished(study)), "")
            raise DivergedError(f"No trial of '{self.model}' gave a result. The first: {why}")
        return Tuning(self.best_of(best.user_attrs["settings"]), self.table(study), self.metric)


def _suggest(trial: optuna.Trial, name: str, one: Range) -> Any:
    if isinstance(one, Choice):
        return trial.suggest_categorical(name, one.values)
    if isinstance(one, IntRange):
        return trial.suggest_int(name, one.low, one.high)
    # Rounded, so that the file of the best settings holds exactly what was tried and can be read.
    return float(f"{trial.suggest_float(name, one.low, one.high, log=True):.4g}")


def _claim(out: Path, about: dict[str, Any]) -> None:
    """Make the folder one of this search; `RunError` where it is of another, or of something else."""
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; --out must be a folder.")
    found: Any = {}
    if (out / ABOUT).is_file():
        try:
            found = json.loads((out / ABOUT).read_text(encoding="utf-8"))
        except ValueError:
            found = None
    elif out.is_dir() and any(out.iterdir()):
        raise RunError(f"{out}: is not empty and not a search of settings; choose another --out.")
    if not isinstance(found, dict) or any(found.get(key, one) != one for key, one in about.items()):
        raise RunError(
            f"{out}: holds a search with another model, metric or settings, or on data or pictures that have changed "
            f"since: its trials cannot be compared with new ones. Choose another --out."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / ABOUT, {**found, **about})


def _journal(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "little")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("Searching settings needs optuna: pip install 'visrec[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
