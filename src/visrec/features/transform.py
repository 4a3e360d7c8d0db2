"""How a network was published to see a picture: resize, centre crop, scale of its values; with Pillow alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from visrec.errors import ConfigError, FeaturesError
from visrec.features.extractor import Preparation

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_MAX_ASPECT = 16  # a strip of 1 x 10,000 pixels, its short side enlarged to 256, would take 2 GB

Side = Annotated[int, Field(ge=1)]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


class Transform(Preparation):
    """A picture to `(H, W, 3)` uint8, as torchvision and timm do it before they make a tensor of it.

    Values equal theirs but for about 1 in 10,000, at most 1 in 300, off by 1 (rarely 2) of 255 where a picture is
    reduced at no simple ratio: Pillow takes the place of the part that the crop keeps in single precision.
    """

    resize: Side | tuple[Side, Side] | None = None
    """Pixels: the shorter side, the aspect ratio kept; or (height, width), see `fit`; None: no resize."""
    fit: Literal["stretch", "cover", "contain"] = "stretch"
    """What a `resize` to (height, width) does: give up the aspect ratio, or keep it and cover that area, or keep it
    and stay within."""
    interpolation: Interpolation = "bilinear"
    """Pillow's filter; it widens with the reduction (antialiasing), but for "nearest"."""
    crop: tuple[Side, Side]
    """(height, width) cut from the middle; where the resized picture is smaller, it is padded with `fill`."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """Colour of the padding, 0 to 255 each."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Red, green, blue, in the range 0 to 1: subtracted from the batch (not here)."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Red, green, blue, in the range 0 to 1: the batch is divided by it (not here)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.fit != "stretch" and not isinstance(self.resize, tuple):
            raise ValueError(f"fit = {self.fit!r} needs resize = [height, width]")
        if not all(0 <= value <= 255 for value in self.fill):
            raise ValueError(f"fill is {self.fill}; expected three values from 0 to 255")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std is {self.std}; expected three values above 0")
        return self

    @classmethod
    def of_torchvision(cls, preset: Any) -> Self:
        """From a torchvision preset, `weights.transforms()`.

        Raises:
            FeaturesError: it is not the preset of a classifier.
        """
        kind = type(preset).__name__
        if kind != "ImageClassification":
            raise FeaturesError(
                f"The transform {kind} of torchvision cannot be done here; expected ImageClassification. Choose a "
                f"classification network: `visrec extractors` lists them all."
            )
        mode = str(getattr(preset.interpolation, "value", preset.interpolation))
        resize, crop = preset.resize_size, preset.crop_size
        return cls._checked(
            kind,
            resize=resize[0] if len(resize) == 1 else tuple(resize),
            interpolation=mode.removesuffix("-exact"),  # the same to a picture, another to a tensor
            crop=(crop[0], crop[-1]),
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        )

    @classmethod
    def of_timm(cls, data: Mapping[str, Any]) -> Self:
        """From timm's settings, `timm.data.resolve_model_data_config(net)`.

        The same steps as its `transforms_imagenet_eval`.

        Raises:
            FeaturesError: not for RGB pictures, or a way to crop that is not known here.
        """
        size, mode = tuple(data["input_size"]), data.get("crop_mode") or "center"
        if len(size) != 3 or size[0] != 3:
            raise FeaturesError(
                f"timm gives the input size {size}; expected (3, height, width), a network for RGB pictures. Choose "
                f"another extractor: `visrec extractors` lists them all."
            )
        if mode not in {"center", "squash", "border"}:
            raise FeaturesError(
                f"timm gives the crop mode '{mode}'; expected center, squash or border. Choose another extractor: "
                f"`visrec extractors` lists them all."
            )
        part = data.get("crop_pct") or 0.875
        high, wide = (int(side / part) for side in size[1:])
        mean = tuple(data.get("mean") or IMAGENET_MEAN)
        keeps_both = mode == "center" and high != wide
        return cls._checked(
            "timm",
            resize=high if mode == "center" and high == wide else (high, wide),
            fit="contain" if mode == "border" else "cover" if keeps_both else "stretch",
            interpolation=data.get("interpolation") or "bilinear",
            crop=size[1:],
            fill=tuple(round(255 * value) for value in mean) if mode == "border" else (0, 0, 0),
            mean=mean,
            std=tuple(data.get("std") or IMAGENET_STD),
        )

    @classmethod
    def _checked(cls, source: str, **values: Any) -> Self:
        try:
            return cls(**values)
        except ConfigError as error:
            raise FeaturesError(
                f"The transform of {source} cannot be done here: {error} Choose another extractor: `visrec "
                f"extractors` lists them all."
            ) from None

    @property
    def least_side(self) -> int | None:
        """Twice what remains of the shorter side: a JPEG reduced to it while decoding still gives as sharp a picture.

        Where a side is given up to a stretch, or only one is known beforehand, the larger one counts.
        """
        if self.resize is None:
            return None
        return 2 * (self.resize if isinstance(self.resize, int) else max(self.resize))

    def __call__(self, image: Image.Image) -> np.ndarray:
        """An upright RGB picture to `(H, W, 3)` uint8, H and W those of `crop`."""
        import numpy as np
        from PIL import Image

        if isinstance(self.resize, int) or self.fit == "cover":  # else no side grows beyond its bounds
            image = _without_strips(image)
        size = self._resized(*image.size)
        high, wide = self.crop
        left, top = _offset(size[0], wide), _offset(size[1], high)
        kept = (max(left, 0), max(top, 0), min(left + wide, size[0]), min(top + high, size[1]))
        part = _resample(image, size, kept, self.interpolation)
        if part.size != (wide, high):
            canvas = Image.new("RGB", (wide, high), self.fill)
            canvas.paste(part, (max(-left, 0), max(-top, 0)))
            part = canvas
        return np.array(part)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize, with the rounding of whoever publishes such a transform."""
        if self.resize is None:
            return width, height
        if isinstance(self.resize, int):  # torchvision's Resize
            longer = int(self.resize * max(width, height) / min(width, height))
            return (self.resize, longer) if width <= height else (longer, self.resize)
        high, wide = self.resize
        if self.fit == "stretch":
            return wide, high
        ratios = height / high, width / wide  # timm's ResizeKeepRatio
        ratio = min(ratios) if self.fit == "cover" else max(ratios)
        return max(round(width / ratio), 1), max(round(height / ratio), 1)

    def __str__(self) -> str:
        """One line for the provenance."""
        high, wide = self.crop
        steps = [f"centre crop {high} x {wide}"]
        if isinstance(self.resize, int):
            steps.insert(0, f"resize {self.resize} {self.interpolation}")
        elif self.resize == self.crop and self.fit == "stretch":
            steps = [f"resize to {high} x {wide} {self.interpolation}"]
        elif self.resize is not None:
            how = {"stretch": "to", "cover": "to cover", "contain": "into"}[self.fit]
            steps.insert(0, f"resize {how} {self.resize[0]} x {self.resize[1]} {self.interpolation}")
        if any(self.fill):
            steps.append(f"padded with {list(self.fill)}")
        return f"{', '.join(steps)}, mean {list(self.mean)}, std {list(self.std)}"


def _resample(
    image: Image.Image, size: tuple[int, int], kept: tuple[int, int, int, int], interpolation: str
) -> Image.Image:
    """`image` resized to `size` (width, height), and of that the box `kept` (left, top, right, bottom)."""
    from PIL import Image

    if image.size == size:
        return image.crop(kept)
    pillow = Image.Resampling[interpolation.upper()]
    (left, right), (top, bottom) = (
        _exact(kept[axis], kept[axis + 2], image.size[axis], size[axis]) for axis in (0, 1)
    )
    part = right - left, bottom - top
    # Only what is kept, with the pixels around it that the filter reaches: down to half the time. Not where the order
    # of the two passes (each rounds) would be another, nor with filters that jump at a pixel's edge, nor for small
    # pictures enlarged, which take little time.
    same_order = _vertical_first(image.size, size) == _vertical_first(image.size, part)
    smaller = size[0] < image.width and size[1] < image.height
    if part != size and smaller and same_order and interpolation not in {"nearest", "box"}:
        (width, height), (wide, high) = image.size, size
        place = (left * width / wide, top * height / high, right * width / wide, bottom * height / high)
        resized = image.resize(part, pillow, box=place)
    else:
        left = top = 0
        resized = image.resize(size, pillow)
    box = kept[0] - left, kept[1] - top, kept[2] - left, kept[3] - top
    return resized if box == (0, 0, *resized.size) else resized.crop(box)


def _exact(first: int, last: int, source: int, result: int) -> tuple[int, int]:
    """The ends of an interval on the resized side, moved out to where Pillow's single precision has their place.

    At simple ratios of the sizes many values lie half-way between two levels, and any error decides between them;
    there such places are near. Where none is, the values that an error changes are few. A twelfth at each end takes
    in the whole of a side of which the crop keeps 0.875, as most do.
    """
    reach = (last - first) // 12

    def has_place(position: int) -> bool:  # on the source a multiple of 1 / 1024
        return position * source * 1024 % result == 0

    before = range(first, max(first - reach, 0) - 1, -1)
    after = range(last, min(last + reach, result) + 1)
    return next(filter(has_place, before), first), next(filter(has_place, after), last)


def _vertical_first(source: tuple[int, int], result: tuple[int, int]) -> bool:
    """Whether Pillow 13 resizes columns before rows; 11 and 12.1 never do, so equal answers are right for all."""
    narrower, lower = source[0] - result[0], source[1] - result[1]
    return lower > 0 and lower > 2 * narrower


def _offset(side: int, crop: int) -> int:
    """Where the crop begins on a side, as torchvision rounds it; negative where the side must be padded."""
    return round((side - crop) / 2) if crop <= side else -((crop - side) // 2)


def _without_strips(image: Image.Image) -> Image.Image:
    """The middle of a picture that is more than 16 times as long as wide; the crop takes it anyway."""
    width, height = image.size
    longest = _MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    wide, high = min(width, longest), min(height, longest)
    left, top = (width - wide) // 2, (height - high) // 2
    return image.crop((left, top, left + wide, top + high))
