"""Networks of torchvision and timm, built by name: whole, with the way they were published to see a picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visrec.errors import ConfigError, FeaturesError
from visrec.features.networks import network
from visrec.features.transform import Transform
from visrec.features.weights import check_hub, downloaded, seeded
from visrec.registry import names, unknown_name

if TYPE_CHECKING:
    from torch import nn

SOURCES = ("torchvision", "timm")


@dataclass(frozen=True)
class Architecture:
    """A network, and how pictures get into it.

    Attributes:
        net: whole, with its classifier.
        weights: what its published weights are called.
        transform: what is done to a picture first.
        cut: takes the classifier off, in place: the network then gives the vector that went into it.
        n_prefix: tokens before those of the patches, where it works on tokens.
        has_class_token: whether the first of these is one: some networks have registers alone.
        channels_last: whether its maps are (H, W, C).
    """

    net: nn.Module
    weights: str
    transform: Transform
    cut: Callable[[nn.Module], None]
    n_prefix: int = 0
    has_class_token: bool = False
    channels_last: bool = False


def backbone_names(source: str) -> list[str]:
    """All classification networks of "torchvision" or "timm", by their names there."""
    if source == "torchvision":
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    # Those on "_enc" are vision towers that need another module to be of use.
    return [name for name in timm.list_models() if not name.endswith("_enc")]


def resolve_backbone(name: str) -> tuple[str, str]:
    """Source and name there of "resnet50", "timm:resnet50", "torchvision:resnet50", or an alias such as "dinov2".

    A bare name means torchvision where it has it, else timm (also with a tag: "resnet50.a1_in1k").

    Raises:
        ConfigError: neither has it; names the near misses.
    """
    known = network(name)
    if known is not None:
        return known.source, known.id
    source, colon, bare = name.partition(":")
    if not colon:
        source, bare = "", name
    elif source not in SOURCES:
        raise ConfigError(
            f"There is no source '{source}' of extractors in '{name}'; expected timm:, torchvision: or onnx:."
        )
    if source != "timm" and bare in backbone_names("torchvision"):
        return "torchvision", bare
    if source != "torchvision":
        import timm

        if timm.is_model(bare) and not bare.partition(".")[0].endswith("_enc"):
            return "timm", bare
    if source:
        near = [f"{source}:{one}" for one in backbone_names(source)]
    else:
        both = {*backbone_names("torchvision"), *backbone_names("timm")}
        near = [*names("extractors"), *sorted(both)]
    raise ConfigError(unknown_name("extractor", name, near, "visrec extractors"))


def build(
    source: str,
    name: str,
    weights: str,
    *,
    input_size: int | None = None,
    seed: int = 0,
    called: str | None = None,
) -> Architecture:
    """A network by source and name there.

    Args:
        source: "torchvision" or "timm".
        name: its name there.
        weights: "default" downloads the published ones; anything else leaves seeded random ones.
        input_size: pixels of the crop's side, where not as published.
        seed: of the random weights.
        called: what was typed for it, such as "dinov2": errors then name both.

    Raises:
        FeaturesError: no weights are published, they cannot be downloaded, or it does not take RGB pictures.
        ConfigError: there is no such tag, or it does not take that input size.
    """
    said = name if called is None or name in called else f"{called} ({name} of {source})"
    return (_torchvision if source == "torchvision" else _timm)(name, weights, input_size, seed, said)


def _torchvision(name: str, weights: str, input_size: int | None, seed: int, said: str) -> Architecture:
    from torch import nn
    from torchvision import models

    published = models.get_model_weights(name).DEFAULT
    # googlenet and inception_v3 were trained on another normalization: with `transform_input` they redo
    # ours, with their own weights and any others; their default initialization takes minutes.
    options: dict[str, Any] = {}
    if name in {"googlenet", "inception_v3"}:
        options = {"transform_input": True, "init_weights": False}
    if weights == "default":
        options.pop("init_weights", None)
        net = downloaded(
            lambda: models.get_model(name, weights=published, progress=False, **options), said, published.url
        )
    else:
        net = seeded(lambda: models.get_model(name, weights=None, **options), seed)
    for auxiliary in ("aux1", "aux2", "AuxLogits"):  # heads for training only
        if hasattr(net, auxiliary):
            setattr(net, auxiliary, None)
    transform = Transform.of_torchvision(published.transforms())
    if input_size is not None:
        side = min(transform.crop)
        resize = transform.resize
        assert isinstance(resize, int)
        transform = transform.replace(crop=(input_size, input_size), resize=round(resize * input_size / side))

    def cut(net: nn.Module) -> None:
        if name.startswith("squeezenet"):  # its classifier is a convolution over the last feature map
            net.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
            return
        # In all others the last linear layer is the classifier; what goes into it is the vector
        # (alexnet and vgg: the second layer of 4096, after its ReLU).
        last = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
        parent, _, child = last.rpartition(".")
        setattr(net.get_submodule(parent), child, nn.Identity())

    kind = type(net).__name__
    has_token, channels_last = kind == "VisionTransformer", kind == "SwinTransformer"
    return Architecture(net, str(published), transform, cut, int(has_token), has_token, channels_last)


def _timm(name: str, weights: str, input_size: int | None, seed: int, said: str) -> Architecture:
    import timm
    from timm.data import resolve_model_data_config  # type: ignore[attr-defined]

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag
        config = None
    if config is None:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise ConfigError(f"timm has no weights '{name}'. Expected one of: {', '.join(tags)}.")
    where = config.hf_hub_id or config.url
    if weights == "default" and not where:
        raise FeaturesError(
            f"timm publishes no weights for {said}. Choose another extractor (`visrec extractors`), or give a "
            f"file (--weights FILE), or --weights random."
        )
    Transform.of_timm({"input_size": config.input_size})  # refuses what is not for pictures before a download

    def make(pretrained: bool) -> nn.Module:
        if input_size is not None:
            try:  # networks whose positions are learnt must know; they interpolate them
                return timm.create_model(name, pretrained=pretrained, img_size=input_size)
            except TypeError:
                pass  # a convolutional network: any size will do
        return timm.create_model(name, pretrained=pretrained)

    if weights == "default":
        if config.hf_hub_id:
            check_hub(config.hf_hub_id, said)
        net = downloaded(lambda: make(True), said, f"{where}")
    else:
        net = seeded(lambda: make(False), seed)
    data = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    if input_size is not None:
        data = {**data, "input_size": (3, input_size, input_size)}
    tag = f".{config.tag}" if config.tag and "." not in name else ""

    def cut(net: nn.Module) -> None:
        if not _projects(name, config):
            net.reset_classifier(0)  # type: ignore[operator]

    n_prefix = int(getattr(net, "num_prefix_tokens", 0))
    # Its tokens may be those of a part, as in naflexvit; a network that names none has them under other names.
    owner = next((one for one in (net, getattr(net, "embeds", None)) if hasattr(one, "cls_token")), None)
    has_token = n_prefix > 0 and (owner is None or owner.cls_token is not None)
    channels_last = getattr(net, "output_fmt", None) == "NHWC"
    transform = Transform.of_timm(data)
    return Architecture(net, f"timm {name}{tag}", transform, cut, n_prefix, has_token, channels_last)


def _projects(name: str, config: Any) -> bool:
    """Whether the last layer is no classifier but the projection into the space that pictures share with texts.

    So it is in the CLIP networks (Radford et al. 2021) that were not fine-tuned to classify. Those that were have
    ImageNet in their tag ("laion2b_soup_ft_in12k_in1k_384"); "ft" alone can mean another size of picture
    ("clip_laion2b_ft_320").
    """
    to_classify = re.search(r"(^|_)in\d+k(_|$)", config.tag or "") is not None
    return "clip" in name and not to_classify and config.num_classes > 0
