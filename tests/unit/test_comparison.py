from __future__ import annotations

import pytest

from visrec.comparison import _imagenet
from visrec.features.extractors import folder_name


def test_a_networks_accuracy_is_the_published_one_and_nothing_else_has_any():
    network = {"extractor": "squeezenet1_0", "source": "torchvision", "weights": "squeezenet1_0.safetensors"}
    known = _imagenet(network)
    assert known is not None
    assert (known.top1, known.top5, known.top1_kind) == (58.092, 80.42, "supervised")  # torchvision's table
    assert _imagenet(network | {"weights": "random"}) is None
    assert _imagenet({"extractor": "color"}) is None


@pytest.mark.parametrize(
    ("name", "folder"),
    [("color", "color"), ("timm:resnet50.a1_in1k", "timm_resnet50.a1_in1k"), ("../../x", "_.._x")],
)
def test_a_folder_never_leads_out_of_the_comparison(name, folder):
    assert folder_name(name) == folder
