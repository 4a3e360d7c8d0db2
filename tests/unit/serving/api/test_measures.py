"""Measures of pictures, made beside the service."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from visrec.explain.attributes import FOLDER, attribute_table
from visrec.serving.engine import Engine
from visrec.serving.measures import begin_measuring, measures_of


@pytest.mark.slow
def test_pictures_are_measured_once_beside_the_service(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(engine.run.path, folder, ignore=shutil.ignore_patterns(FOLDER, "feedback.db*"))
    found = Engine.open(folder)
    assert measures_of(found) is None
    assert begin_measuring(found)
    ends = time.monotonic() + 120
    while measures_of(found) is None:
        assert time.monotonic() < ends
        time.sleep(0.1)
    made = measures_of(found)
    assert made is not None
    np.testing.assert_array_equal(made.values, attribute_table(found.catalog).values)
    assert not begin_measuring(found)
