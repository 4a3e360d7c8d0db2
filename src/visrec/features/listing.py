"""What `visrec extractors` shows: names with their facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visrec.features.architectures import backbone_names, build, resolve_backbone
from visrec.features.networks import NETWORKS, Network, network
from visrec.registry import names, resolve

MORE = (
    "Any other network of torchvision or timm goes by its name there: `visrec extractors swin` finds them, "
    "`visrec extractors ''` lists them all.\nonnx:FILE takes a network from an ONNX file; resnet50+color joins two. "
    "`visrec extractors --layers resnet50` lists what --layer takes."
)
_FEW = 24  # networks that are built (without weights) to know their facts


@dataclass(frozen=True)
class ExtractorInfo:
    """What can be extracted with.

    Attributes:
        name: what to type.
        source: visrec, torchvision or timm.
        dim: length of the vector; None where it gives none, or the network must be built to know it.
        n_params: parameters of the network with its classifier.
        top1: published ImageNet top-1 accuracy of the default weights, percent.
        top1_kind: how it was measured.
        licence: of the default weights.
        paper: where it comes from.
    """

    name: str
    source: str
    dim: int | None = None
    n_params: int | None = None
    top1: float | None = None
    top1_kind: str | None = None
    licence: str | None = None
    paper: str | None = None


def extractors(search: str | None = None) -> list[ExtractorInfo]:
    """The hand-made extractors and the best known networks; with `search`, all whose names contain it."""
    registered = [_registered(name) for name in names("extractors")]
    known = [_known(one) for one in NETWORKS]
    if search is None:
        return [*registered, *known]
    torchvision = backbone_names("torchvision")
    taken = {*torchvision, *(info.name for info in registered), *(info.name for info in known)}
    timm = [f"timm:{name}" if name in taken else name for name in backbone_names("timm")]
    listed = {info.name for info in known}
    found = [info for info in (*registered, *known) if search in info.name]
    others = [
        (name, source)
        for source, all_names in (("torchvision", torchvision), ("timm", timm))
        for name in all_names
        if search in name and name not in listed
    ]
    few = len(others) <= _FEW
    return [*found, *(_built(*one) if few else ExtractorInfo(*one) for one in others)]


def row(info: ExtractorInfo) -> dict[str, Any]:
    """An extractor as a row of the table."""
    millions = None if info.n_params is None else f"{info.n_params / 1e6:,.1f} M"
    kind = {None: "", "supervised": ""}.get(info.top1_kind, f" ({info.top1_kind})")
    return {
        "extractor": info.name,
        "source": info.source,
        "dim": info.dim,
        "parameters": millions,
        "top-1 %": None if info.top1 is None else f"{info.top1:.1f}{kind}",
        "licence": info.licence,
        "from": info.paper,
    }


def layers(name: str) -> list[dict[str, Any]]:
    """The layers of a network down to its blocks, in the order in which they run, and what each gives a picture."""
    import torch

    source, bare = resolve_backbone(name)
    made = build(source, bare, "random")
    found: list[dict[str, Any]] = []
    for path, module in made.net.named_modules():
        if path and path.count(".") <= 1:

            def note(module: Any, inputs: Any, output: Any, path: str = path) -> None:  # noqa: ARG001
                shape = " x ".join(map(str, output.shape[1:])) if isinstance(output, torch.Tensor) else None
                found.append({"layer": path, "kind": type(module).__name__, "gives": shape})

            module.register_forward_hook(note)
    with torch.inference_mode():
        made.net.eval()(torch.zeros(1, 3, *made.transform.crop))
    return found


def _registered(name: str) -> ExtractorInfo:
    made = resolve("extractors", name)()
    dim = made.dim if len(made.shape) == 1 else None  # pixels are no vector
    return ExtractorInfo(name, "visrec", dim, paper=getattr(made, "paper", None))


def _known(one: Network) -> ExtractorInfo:
    return ExtractorInfo(
        one.name, one.source, one.dim, one.n_params, one.top1, one.top1_kind, one.licence, one.paper
    )


def _built(name: str, source: str) -> ExtractorInfo:
    """Facts of a network by building it without weights."""
    import torch

    known = network(name)
    if known is not None:
        return _known(known)
    try:
        _, bare = resolve_backbone(name)
        with torch.device("meta"):
            made = build(source, bare, "meta")
            n_params = sum(p.numel() for p in made.net.parameters())
            made.cut(made.net)
            with torch.inference_mode():
                dim = made.net.eval()(torch.zeros(1, 3, *made.transform.crop)).shape[-1]
    except Exception:  # noqa: BLE001 - some networks cannot run without weights: the list is worth having all the same
        return ExtractorInfo(name, source)
    return ExtractorInfo(name, source, int(dim), n_params)
