from __future__ import annotations

import pytest

from visrec.comparison import _imagenet
from visrec.comparison_plan import plan
from visrec.errors import ConfigError
from visrec.experiment import Experiment
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


def test_features_that_are_there_already_are_not_compared_by_extractors(tmp_path):
    base = Experiment(data={"path": "shop"}, features={"path": "f"}, models={"visrank": {}})
    with pytest.raises(ConfigError, match=r"Leave out path = 'f' under \[features\]"):
        plan(base, ["color"], tmp_path / "out")
