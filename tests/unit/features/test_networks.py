from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from visrec import registry
from visrec.features.networks import NETWORKS, Network, facts, network

TORCHVISION = [one for one in NETWORKS if one.source == "torchvision"]
TIMM = [one for one in NETWORKS if one.source == "timm"]
QUICK = {"alexnet", "googlenet", "squeezenet1_0", "resnet50", "nasnet_large", "dinov2", "clip"}


def of(name: str) -> Network:
    found = network(name)
    assert found is not None
    return found


def on_meta(one: Network) -> nn.Module:
    """The network without memory for its parameters."""
    import timm
    from torchvision import models

    # What torchvision counts: see networks.py.
    options = {
        "googlenet": {"aux_logits": False, "init_weights": False},
        "inception_v3": {"init_weights": False},
    }
    with torch.device("meta"):
        if one.source == "timm":
            return timm.create_model(one.id, pretrained=False).eval()
        return models.get_model(one.id, weights=None, **options.get(one.name, {})).eval()


def n_inputs_of_classifier(one: Network, net: nn.Module) -> int:
    if one.source == "timm":
        if one.family != "CLIP":  # its last layer is part of the vector
            net.reset_classifier(0)  # type: ignore[operator]
        with torch.no_grad():
            return net(torch.zeros(1, 3, one.input_size, one.input_size, device="meta")).shape[1]
    kind = nn.Conv2d if one.family == "SqueezeNet" else nn.Linear
    return next(
        module.weight.shape[1] for module in reversed(list(net.modules())) if isinstance(module, kind)
    )


@pytest.mark.parametrize("one", TORCHVISION, ids=lambda one: one.name)
def test_facts_of_torchvision_are_those_of_its_default_weights(one: Network):
    from torchvision import models

    weights = models.get_model_weights(one.id).DEFAULT
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    assert weights.name == one.weights
    assert weights.meta["num_params"] == one.n_params
    assert (accuracy["acc@1"], accuracy["acc@5"]) == (one.top1, one.top5)
    assert weights.transforms().crop_size == [one.input_size]


@pytest.mark.parametrize("one", TIMM, ids=lambda one: one.name)
def test_facts_of_timm_are_those_of_the_weights_it_loads(one: Network):
    import timm

    config = timm.get_pretrained_cfg(one.id)
    assert config is not None
    assert config.tag == one.weights
    assert config.hf_hub_id or config.url
    assert config.input_size == (3, one.input_size, one.input_size)
    stated = config.license.replace("-license", " license")
    assert one.licence.lower() == ("mit" if one.family == "CLIP" else stated)


@pytest.mark.parametrize("one", [one for one in NETWORKS if one.name in QUICK], ids=lambda one: one.name)
def test_parameters_and_dimensions_are_those_of_the_network(one: Network):
    net = on_meta(one)
    assert sum(weight.numel() for weight in net.parameters()) == one.n_params
    assert n_inputs_of_classifier(one, net) == one.dim


@pytest.mark.slow
@pytest.mark.parametrize("one", [one for one in NETWORKS if one.name not in QUICK], ids=lambda one: one.name)
def test_parameters_and_dimensions_are_those_of_the_other_networks(one: Network):
    test_parameters_and_dimensions_are_those_of_the_network(one)


def test_accuracies_are_percentages_and_say_how_they_were_measured():
    for one in NETWORKS:
        assert (one.top1 is None) == (one.top1_kind is None)
        assert one.top1 is None or 50 < one.top1 < (one.top5 or 100) <= 100
    assert {one.top1_kind for one in NETWORKS if one.family in {"CLIP", "SigLIP"}} == {"zero-shot"}
    assert {one.top1_kind for one in NETWORKS if one.family in {"DINO", "DINOv2"}} == {"linear probe"}


def test_each_name_and_each_id_is_there_once_and_no_built_in_extractor_has_it():
    names = [one.name for one in NETWORKS]
    assert len(set(names)) == len(names)
    assert len({(one.source, one.id) for one in NETWORKS}) == len(NETWORKS)
    assert not set(names) & set(registry.BUILTIN["extractors"])


def test_no_name_hides_another_network():
    import timm
    from torchvision import models

    of_torchvision = set(models.list_models(module=models))
    assert all(one.name == one.id for one in TORCHVISION)  # a bare name means torchvision's, where it has it
    assert not {one.name for one in TIMM} & of_torchvision
    for one in TIMM:
        if timm.is_model(one.name) and one.name != one.id:
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore", UserWarning)  # xception: an old name of legacy_xception
                assert timm.create_model(one.name).default_cfg["architecture"] == one.id


def test_a_network_is_found_by_its_name_and_by_source_and_id():
    assert of("resnet50") == of("torchvision:resnet50")
    assert of("nasnet_large") == of("timm:nasnetalarge")
    assert of("dinov2").id == "vit_small_patch14_dinov2"
    assert of("clip") == of("timm:vit_base_patch32_clip_quickgelu_224.openai")
    assert network("timm:resnet50") is None  # another network, of the same name
    assert network("color") is None


def test_facts_hold_with_the_tag_of_the_weights_and_with_no_other():
    assert facts("timm", "inception_v4") == facts("timm", "inception_v4.tf_in1k") == of("inception_v4")
    assert facts("torchvision", "convnext_tiny") == of("convnext_tiny")
    assert facts("timm", "convnext_tiny.dinov3_lvd1689m") == of("dinov3_convnext")
    assert facts("timm", "convnext_tiny") is None  # timm's default weights are others
    assert facts("timm", "vit_base_patch16_224") == of("vit_base_patch16_224")
    assert facts("timm", "vit_base_patch16_224.dino") == of("dino_base")
    assert facts("timm", "vit_base_patch16_224.mae") is None
    assert facts("timm", "resnet50") is None


def test_the_table_needs_no_heavy_package():
    code = "import sys, visrec.features.networks; print({'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
