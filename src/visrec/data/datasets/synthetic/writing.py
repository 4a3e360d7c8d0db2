"""Write the data set to a folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from visrec.data.datasets.synthetic.catalogue import Catalogue
from visrec.data.datasets.synthetic.choices import make_interactions
from visrec.data.datasets.synthetic.drawing import draw_catalogue
from visrec.data.datasets.synthetic.settings import SyntheticConfig
from visrec.data.datasets.synthetic.tastes import make_truth
from visrec.data.datasets.synthetic.truth import Truth
from visrec.errors import DataError
from visrec.files import read_json, replacing_folder, sweep_temporaries, write_json

FORMAT = 1
"""Raised when the same settings come to mean other files."""
MARKER = "synthetic.json"


def write_synthetic(
    folder: str | Path,
    config: SyntheticConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    n_workers: int | None = None,
) -> Truth:
    """Make the synthetic data set in a folder, or find it there.

    Writes `interactions.csv`, `items.csv`, `images/<item_id>.jpg`, `truth.npz` and `synthetic.json`.
    A folder that holds the data set of the same settings is left as it is. The files depend on the
    settings alone, not on the number of workers.

    Args:
        folder: where to; its parents are made.
        config: the settings; `SyntheticConfig()` if None.
        progress: called as `progress(done, total)` after each picture, from the calling thread.
        n_workers: processes that draw; as many as pay if None, 1 draws in this process.

    Returns:
        The planted tastes.

    Raises:
        DataError: the folder holds something else.
    """
    folder = Path(folder)
    config = SyntheticConfig() if config is None else config
    if n_workers is not None and n_workers < 1:
        raise DataError(f"n_workers is {n_workers}; expected at least 1, or None to choose.")
    if _is_there(folder, config):
        return Truth.load(folder)
    if folder.parent.is_dir():
        sweep_temporaries(folder.parent, of=folder.name)  # of a drawing that was killed
    catalogue = Catalogue(config)
    truth = make_truth(catalogue)
    with replacing_folder(folder) as unfinished:
        (unfinished / "images").mkdir()
        make_interactions(truth, config).write_csv(unfinished / "interactions.csv")
        catalogue.table().write_csv(unfinished / "items.csv")
        truth.save(unfinished)
        draw_catalogue(catalogue, unfinished / "images", progress=progress, n_workers=n_workers)
        write_json(unfinished / MARKER, _marker(config))
    return truth


def _marker(config: SyntheticConfig) -> dict[str, Any]:
    return {"format": FORMAT, "config": config.model_dump(mode="json")}


def _is_there(folder: Path, config: SyntheticConfig) -> bool:
    """Whether the folder holds just this data set; `DataError` if it holds anything else."""
    if folder.is_file():
        raise DataError(f"{folder}: is a file; expected a folder that is empty or not there yet.")
    if not folder.exists() or not any(folder.iterdir()):
        return False
    remedy = "Choose another folder, or remove this one."
    if not (folder / MARKER).is_file():
        raise DataError(f"{folder}: is not empty and holds no synthetic data set. {remedy}")
    try:
        found = read_json(folder / MARKER)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / MARKER}: cannot be read ({error}). {remedy}") from None
    expected = _marker(config)
    if found == expected:
        return True
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{folder}: holds a synthetic data set of another version of visrec. {remedy}")
    there = found.get("config", {})
    differ = [key for key, value in expected["config"].items() if there.get(key) != value]
    changes = ", ".join(
        f"{key} {there.get(key)!r} there, {expected['config'][key]!r} asked" for key in differ
    )
    raise DataError(f"{folder}: holds a synthetic data set with other settings ({changes}). {remedy}")
