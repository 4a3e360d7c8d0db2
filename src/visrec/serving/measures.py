"""Measures of the pictures (brightness, saturation …), made beside the service when they are first needed."""

from __future__ import annotations

import threading
import weakref

from visrec.explain.attributes import FOLDER
from visrec.features.features import META, Features
from visrec.serving.engine import Engine
from visrec.serving.errand import Errand

_MOST = 60_000  # pictures: measuring more takes long enough to be asked for

_errands: weakref.WeakKeyDictionary[Engine, Errand] = weakref.WeakKeyDictionary()
_tables: weakref.WeakKeyDictionary[Engine, Features] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def measures_of(engine: Engine) -> Features | None:
    """The table of `visrec.explain.attribute_table` in the run folder; None: it is not there (yet)."""
    with _lock:
        if engine not in _tables:
            folder = engine.run.path / FOLDER
            if not (folder / META).is_file():
                return None
            _tables[engine] = Features.load(folder)
        return _tables[engine]


def begin_measuring(engine: Engine) -> bool:
    """See to it that they are made where that takes minutes, not hours. Returns whether they are under way."""
    if len(engine.catalog) > _MOST or measures_of(engine) is not None:
        return False
    settings = engine.run.experiment.data
    words = ["extract", settings.path, "--extractor", "attractiveness", "--no-standardize"]
    if settings.missing_images == "mask":
        words.append("--allow-missing-images")
    with _lock:
        if engine not in _errands:
            _errands[engine] = Errand(*words, "--out", str(engine.run.path / FOLDER))
        return _errands[engine].begin()
