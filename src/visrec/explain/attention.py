"""What a model attends to: which items of the history, and where on their pictures."""

from __future__ import annotations

import re

import numpy as np

from visrec.data.catalog import Catalog
from visrec.errors import FeaturesError, ImageError
from visrec.explain.explanation import Attended, Region
from visrec.explain.question import Question
from visrec.features.features import Features
from visrec.features.transform import Transform
from visrec.models.acf import ACF

_MOST_PICTURES = 6

_RESIZE = re.compile(r"resize (?:(to cover|to|into) )?(\d+)(?: x (\d+))?")
_CROP = re.compile(r"centre crop (\d+) x (\d+)")
_FIT = {"to": "stretch", "to cover": "cover", "into": "contain"}


def attention(question: Question, catalog: Catalog | None = None) -> tuple[Attended, ...]:
    """ACF's alpha of each item of the history, oldest first, and for those with the most its beta on the picture.

    Args:
        question: of an ACF and a user; another model, or an empty history, has ().
        catalog: the pictures, whose sizes put boxes on the whole picture where the extractor saw its middle alone;
            see `region_boxes`.

    Raises:
        FeaturesError: the model was loaded without its features.
    """
    model, items = question.model, question.looked_at
    if not isinstance(model, ACF) or question.user is None or len(items) == 0:
        return ()
    table = model.attention([model.users.take(np.array([question.user]))[0]], [question.ids(items)])
    alpha, beta = table["alpha"].to_list(), table["beta"].to_list()
    most = set(np.argsort(-np.array(alpha), kind="stable")[:_MOST_PICTURES].tolist())
    return tuple(
        Attended(
            item,
            float(alpha[place]),
            _regions(model, item, beta[place], catalog) if place in most and beta[place] is not None else (),
        )
        for place, item in enumerate(table["item_id"].to_list())
    )


def _regions(model: ACF, item: str | int, beta: list[float], catalog: Catalog | None) -> tuple[Region, ...]:
    """Regions with their boxes; () where these lie on no grid that is known."""
    features = model.features
    assert features is not None
    size = None
    try:
        if catalog is not None and features.provenance.get("transform") is not None:
            size = catalog.open(item).size
        boxes = region_boxes(features, size)
    except (FeaturesError, ImageError):
        return ()
    return tuple(
        Region((box[0], box[1], box[2], box[3]), float(share))
        for box, share in zip(boxes.tolist(), beta, strict=True)
    )


def region_boxes(features: Features, size: tuple[int, int] | None = None) -> np.ndarray:
    """The box of each region, in parts of a picture's width and height.

    A region of a network's layer is taken as its cell of the layer's grid; what the network makes of a cell depends
    on its surroundings too.

    Args:
        features: of regions that lie on a grid, row by row, as extractors make them.
        size: (width, height) of the picture, upright, in pixels. Networks see the middle of a picture: with the
            size, boxes are on the whole picture. None: boxes are on what the extractor saw, which is the whole
            picture for "color", and what the crop leaves for a network.

    Returns:
        `(R, 4)` float64: x0, y0, x1, y1 of each region, from 0 (left, top) to 1 (right, bottom). A region that is
        only padding has no area.

    Raises:
        FeaturesError: the regions lie on no known grid, or how the picture was cropped cannot be told.
    """
    R = features.n_regions
    grid = features.provenance.get("grid")
    if R is None or grid is None or grid[0] * grid[1] != R:
        found = "no regions" if R is None else f"{R} regions on the grid {grid}"
        raise FeaturesError(
            f"These features have {found}; expected regions and their rows and columns. Extract them "
            f"(a network with pool='regions', color with grid=4), or say the grid: "
            f"Features.from_array(…, provenance={{'grid': [rows, columns]}})."
        )
    rows, columns = grid
    row, column = np.divmod(np.arange(R), columns)  # (R,) each
    cells = np.stack([column / columns, row / rows, (column + 1) / columns, (row + 1) / rows], axis=1)
    text = features.provenance.get("transform")
    if size is None or text is None:
        return cells
    if min(size) < 1:
        raise FeaturesError(f"size is {size}; expected the (width, height) of a picture in pixels.")
    x0, y0, x1, y1 = _seen(_transform(str(text)), *size)
    start, extent = np.array([x0, y0, x0, y0]), np.array([x1 - x0, y1 - y0] * 2)
    return np.clip(start + extent * cells, 0.0, 1.0)  # beyond the picture lies padding


def _seen(transform: Transform, width: int, height: int) -> tuple[float, float, float, float]:
    """The box that the crop keeps, in parts of the picture; it may reach beyond."""
    high, wide = transform.crop
    if transform.resize is None:
        scales = 1.0, 1.0
    elif isinstance(transform.resize, int):
        scales = (transform.resize / min(width, height),) * 2
    else:
        scales = transform.resize[1] / width, transform.resize[0] / height
        if transform.fit != "stretch":
            scales = (max(scales) if transform.fit == "cover" else min(scales),) * 2
    x, y = wide / (scales[0] * width), high / (scales[1] * height)  # what is kept of each side
    return (1 - x) / 2, (1 - y) / 2, (1 + x) / 2, (1 + y) / 2


def _transform(text: str) -> Transform:
    """The sizes of a transform from its line in the provenance."""
    crop, resize = _CROP.search(text), _RESIZE.search(text)
    if resize is not None and resize[3] is None:
        if crop is not None:
            return Transform(resize=int(resize[2]), crop=(int(crop[1]), int(crop[2])))
    elif resize is not None:
        side = int(resize[2]), int(resize[3])
        fit = _FIT[resize[1]] if crop is not None else "stretch"
        kept = side if crop is None else (int(crop[1]), int(crop[2]))
        return Transform(resize=side, fit=fit, crop=kept)
    elif crop is not None:
        return Transform(crop=(int(crop[1]), int(crop[2])))
    raise FeaturesError(
        f"How the pictures were cropped cannot be told from '{text}'. Leave size out: boxes are then on what the "
        f"extractor saw."
    )
