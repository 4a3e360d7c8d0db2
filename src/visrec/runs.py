"""From an experiment to a run folder. What is there already and still fits is not done again."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from visrec.config import Config, digest_of
from visrec.content import Content, Kind
from visrec.data.dataset import Dataset
from visrec.errors import DivergedError, RunError
from visrec.evaluation.groups import check_slices
from visrec.experiment import Experiment
from visrec.explain.attributes import FOLDER as ATTRIBUTES
from visrec.explain.attributes import attribute_table
from visrec.features.features import Features
from visrec.feedback.addresses import COPY
from visrec.files import is_temporary, replacing, sweep_temporaries, write_json
from visrec.run_folder import FOLDERS, Run, data_digest, filed, read_facts
from visrec.run_report import evaluate_run
from visrec.stages import Stage, silent

EXTRACTING = f"{FOLDERS['vector']}: "
"""How the title of the stage begins in which vectors are made; regions and pixels begin with the names of theirs."""


def run(experiment: Experiment, out: str | Path, *, stage: Stage = silent) -> Run:
    """Do an experiment, or what is missing of it, into a run folder.

    Args:
        experiment: what to do.
        out: the run folder; if it holds the same experiment, only missing models and stages are done.
        stage: opens progress displays.

    Raises:
        RunError: the folder holds another experiment, or something that is not a run.
    """
    found = planned(experiment, Path(out))  # every setting is checked before anything slow begins
    _begin(found, stage)
    kinds = {kind for name in found.models for kind in found.experiment.build(name).learns_from}
    check_slices(found.experiment.evaluation.slices, found.data.catalog, features="vector" in kinds)
    content = _content(found, stage)
    if found.experiment.attributes:
        with stage("measuring the pictures, for explanations") as progress:
            attribute_table(found.data.catalog, found.path / ATTRIBUTES, progress=progress)
    diverged: DivergedError | None = None
    for name, seed in _to_train(found.experiment):
        try:
            _model(found, name, seed, content, stage)
        except DivergedError as error:  # the other models are still worth having
            which = name if found.experiment.seeds == 1 or seed is None else f"{name}, seed {seed}"
            diverged = DivergedError(
                f"models.{which}: {error} Its settings are in {found.path / 'experiment.toml'}."
            )
    if found.trained:
        evaluate_run(found, stage=stage)
    if diverged is not None:
        raise diverged
    return found


def planned(experiment: Experiment, out: Path) -> Run:
    """The run that is to be done, every setting checked and written out. Writes nothing.

    Raises:
        ConfigError: a setting is wrong.
        RunError: the folder holds another experiment, or something that is not a run.
    """
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file; --out must be a folder.")
    if not (out / "experiment.toml").is_file():
        if out.is_dir() and not all(is_temporary(path) for path in out.iterdir()):
            raise RunError(f"{out}: is not empty and not a run folder; choose another --out.")
        return Run(out, experiment.resolved())
    earlier = Run.load(out)
    made = {kind for kind in FOLDERS if earlier.has(kind)}
    if not (earlier.trained or made):  # nothing came of it: settings may change
        return Run(out, experiment.resolved())
    # Models of earlier calls stay in the comparison; settings given now win, a name alone takes those it had.
    given = {name: s for name, s in experiment.models.items() if s or name not in earlier.experiment.models}
    # So do seeds and the evaluation, where they are not given.
    kept = {
        name: getattr(earlier.experiment, name)
        for name in ("seeds", "evaluation", "attributes")
        if name not in experiment.model_fields_set
    }
    resolved = experiment.replace(models={**earlier.experiment.models, **given}, **kept).resolved()
    parts = {name: (getattr(earlier.experiment, name), getattr(resolved, name)) for name in ("data", "seed")}
    parts |= {FOLDERS[kind]: (earlier.experiment.content(kind), resolved.content(kind)) for kind in made}
    for part, (old, new) in parts.items():
        if old != new:
            raise RunError(
                f"{out}: holds a run with other settings of [{part}] ({_difference(old, new)}). "
                f"Choose another --out folder, or give the same settings."
            )
    return Run(out, resolved)


def _begin(found: Run, stage: Stage) -> None:
    """Write what the run is: experiment.toml and data.json. The data are read first, so that faults leave nothing."""
    out = found.path
    if not found.trained and not any((out / folder).exists() for folder in FOLDERS.values()):
        for name in ("data.json", COPY):  # of a call that came to nothing
            (out / name).unlink(missing_ok=True)
    with stage(f"reading {found.experiment.data.path}") as progress:
        found.read(progress)
    facts = _data_facts(found)
    out.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(out)
    (out / "models").mkdir(exist_ok=True)
    sweep_temporaries(out / "models")
    found.experiment.to_toml(out / "experiment.toml")
    if found.events is not None and not (out / COPY).is_file():
        with replacing(out / COPY) as temporary:
            found.events.write_parquet(temporary)
    write_json(out / "data.json", facts)


def _difference(old: Any, new: Any) -> str:
    if not isinstance(old, Config):
        return f"{old} there, {new} now"
    pairs = [(key, getattr(old, key), getattr(new, key)) for key in type(old).model_fields]
    return "; ".join(f"{key} = {a!r} there, {b!r} now" for key, a, b in pairs if a != b)


def _data_facts(found: Run) -> dict[str, Any]:
    """What data.json holds: what the data are and how they were split."""
    data, split = found.data, found.split
    new = split.train.item_counts() == 0
    return {
        "digest": data_digest(data),
        "metadata": data.catalog.metadata_digest,
        "path": found.experiment.data.path,
        "users": data.interactions.n_users,
        "items": data.interactions.n_items,
        "interactions": len(data.interactions),
        "items_without_image": int((~data.catalog.pictured).sum()),
        "split": split.how,
        "split_digest": digest_of([split.train.digest, split.valid.digest, split.test.digest]),
        "train": len(split.train),
        "valid": len(split.valid),
        "test": len(split.test),
        "test_users": int((split.test.user_counts() > 0).sum()),
        "test_on_new_items": int(new[split.test.item].sum()),
        "new_items": int(new.sum()),
        **({} if found.folded is None else {"events": found.folded.facts}),
        "notes": list(data.notes),
    }


def _content(found: Run, stage: Stage) -> Content:
    """What the models of a run learn from; what is not there is extracted, or taken from where it is."""
    kinds = {kind for name in found.models for kind in found.experiment.build(name).learns_from}
    lacking = {kind for kind in kinds if not found.has(kind)}  # what is there fits, or `planned` had refused
    content_of(found.experiment, found.data, found.path, lacking, stage=stage)
    return found.content


def content_of(
    experiment: Experiment, data: Dataset, folder: Path, kinds: Collection[Kind], *, stage: Stage = silent
) -> Content:
    """Features of some kinds as an experiment says, kept in a folder; what is there already costs next to nothing."""
    found: list[Features] = []
    for kind, name in FOLDERS.items():
        if kind in kinds:
            settings = experiment.content(kind)
            with stage(f"{name}: {settings.name}") as progress:
                found.append(
                    settings.extract(
                        data.catalog,
                        folder / name,
                        kind="regions" if kind == "regions" else "vector",
                        missing_images=experiment.data.missing_images,
                        progress=progress,
                    )
                )
    return filed(found, data)


def _to_train(experiment: Experiment) -> list[tuple[str, int | None]]:
    """Models and seeds, the first seed of every model before any further one."""
    seeds = {name: experiment.seeds_of(name) for name in experiment.models}
    return [(name, mine[n]) for n in range(experiment.seeds) for name, mine in seeds.items() if n < len(mine)]


def _model(found: Run, name: str, seed: int | None, content: Content, stage: Stage) -> None:
    """Train one model, unless it is there with the same settings, data and features."""
    model = found.experiment.build(name, seed=seed)
    split = found.split
    fingerprint = digest_of(
        {
            "model": type(model).__name__,
            "config": model.config.model_dump(mode="json"),
            **({"edition": model.edition} if model.edition > 1 else {}),
            "train": split.train.digest,
            "valid": split.valid.digest,
            **model.content_digests(content),
        }
    )
    folder = found.folder_of(name, seed)
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    if _fingerprint_of(folder) == fingerprint:
        checkpoint.unlink(missing_ok=True)
        return
    start = time.perf_counter()
    with stage(f"training: {folder.name}") as progress:
        model.fit(split.train, content, valid=split.valid, checkpoint=checkpoint, progress=progress)
    seconds = time.perf_counter() - start
    if model.training_log:  # of all epochs, also those before an interruption
        seconds = sum(line["seconds"] + line["valid_seconds"] for line in model.training_log)
    notes = {"notes": list(model.notes)} if model.notes else {}
    model.save(folder, extra={"fingerprint": fingerprint, "seconds": round(seconds, 3), **notes})
    checkpoint.unlink(missing_ok=True)


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint that a trained model was saved with; None if there is no model."""
    about = folder / "config.json"
    return read_facts(about)["extra"].get("fingerprint") if about.is_file() else None
