"""Measures of the pictures (brightness, saturation …), made beside the service when they are first needed."""

from __future__ import annotations

from visrec.explain.attributes import FOLDER
from visrec.features.features import META, Features
from visrec.serving.engine import Engine
from visrec.serving.errand import Errand
from visrec.serving.once import once

_MOST = 60_000  # pictures: measuring more takes long enough to be asked for


def measures_of(engine: Engine) -> Features | None:
    """The table of `visrec.explain.attribute_table` in the run folder; None: it is not there (yet)."""
    return _table(engine) if (engine.run.path / FOLDER / META).is_file() else None


def begin_measuring(engine: Engine) -> bool:
    """See to it that they are made where that takes minutes, not hours. Returns whether they are under way."""
    if len(engine.catalog) > _MOST or measures_of(engine) is not None:
        return False
    return _errand(engine).begin()


@once
def _table(engine: Engine) -> Features:
    return Features.load(engine.run.path / FOLDER)


@once
def _errand(engine: Engine) -> Errand:
    settings = engine.run.experiment.data
    words = ["extract", settings.path, "--extractor", "attractiveness", "--no-standardize"]
    if settings.missing_images == "mask":
        words.append("--allow-missing-images")
    return Errand(*words, "--out", str(engine.run.path / FOLDER))
