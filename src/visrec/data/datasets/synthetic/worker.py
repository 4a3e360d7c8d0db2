"""A drawing process: `python -m visrec.data.datasets.synthetic.worker IMAGES CONFIG FIRST STEP`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2

from visrec.data.datasets.synthetic.catalogue import Catalogue
from visrec.data.datasets.synthetic.drawing import draw_to
from visrec.data.datasets.synthetic.settings import SyntheticConfig
from visrec.memory import keep_freed_memory


def main(images: str, config: str, first: str, step: str) -> None:
    """Draw every `step`-th item from `first` on; a dot on stdout tells of each."""
    keep_freed_memory()
    cv2.setNumThreads(1)  # the processes share the processors already
    catalogue = Catalogue(SyntheticConfig(**json.loads(config)))
    for index in range(int(first), catalogue.config.n_items, int(step)):
        draw_to(Path(images), catalogue, index)
        sys.stdout.write(".")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
