from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.torch import save_file

from visrec.errors import ConfigError, FeaturesError
from visrec.features.architectures import build
from visrec.features.backbones import Backbone
from visrec.features.combination import Combination
from visrec.features.extractor import Extractor
from visrec.features.extractors import (
    create_extractor,
    folder_name,
    has_option,
    split_name,
    with_paths,
)
from visrec.features.handcrafted.color import Color
from visrec.features.onnx import Onnx


def save_onnx(path: Path) -> Path:
    """The mean of each channel of pictures of 8 x 8."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def parts_of(extractor: Extractor) -> dict[str, Any]:
    assert isinstance(extractor, Combination)
    return {part.name: part for part in extractor.parts}


def test_names_make_what_they_say(tmp_path: Path):
    assert isinstance(create_extractor("color"), Color)
    assert isinstance(create_extractor("test_vit", "random"), Backbone)
    assert isinstance(create_extractor(f"onnx:{save_onnx(tmp_path / 'a.onnx')}"), Onnx)
    both = create_extractor("sift + color")
    assert list(parts_of(both)) == ["sift", "color"]
    assert both.name == "sift+color"


@pytest.mark.parametrize("name", ["color+color", "sift+color+sift", "color+ color"])
def test_a_part_that_is_named_twice_is_refused(name: str):
    with pytest.raises(ConfigError, match="names a part twice; name each once"):
        create_extractor(name)


@pytest.mark.parametrize("name", ["", "resnet50+", "+color", "resnet50++color", "onnx:a.onnx+"])
def test_an_empty_part_is_refused(name: str):
    for use in (create_extractor, folder_name, split_name):
        with pytest.raises(ConfigError, match="has an empty part; expected names joined by"):
            use(name)


def test_an_option_goes_to_every_part_that_has_it_or_to_the_one_that_is_named():
    plain, resnet = "test_vit", "test_resnet"
    both = parts_of(create_extractor(f"{plain}+{resnet}+sift+color", "random", input_size=64, side=32))
    assert both[plain].transform.crop == both[resnet].transform.crop == (64, 64)
    assert both["sift"].preparation.side == 32
    one = parts_of(create_extractor(f"{plain}+{resnet}", "random", **{f"{resnet}.input_size": 64}))
    assert one[resnet].transform.crop == (64, 64)
    assert one[plain].transform.crop == Backbone(plain, weights="random").transform.crop != (64, 64)


@pytest.mark.parametrize("first", ["shared", "own"])
def test_what_is_said_of_one_part_counts_more_than_what_is_said_of_all(first: str):
    said = {"input_size": 64, "test_resnet.input_size": 96}
    if first == "own":
        said = dict(reversed(said.items()))
    both = parts_of(create_extractor("test_vit+test_resnet", "random", **said))
    assert both["test_vit"].transform.crop == (64, 64)
    assert both["test_resnet"].transform.crop == (96, 96)


def test_a_name_with_a_tag_may_have_options_of_its_own():
    both = parts_of(
        create_extractor("timm:test_vit.r160_in1k+color", "random", **{"timm:test_vit.r160_in1k.pool": "max"})
    )
    assert both["test_vit.r160_in1k"].layer.endswith("max")


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("color", "side", r"'color' has no option 'side'\. Its options: grid"),
        ("sift", "layer", r"'sift' has no option 'layer'\. Its options: encoding, words,"),
        ("sift+test_vit", "size", r"None of sift, test_vit has an option 'size'.*sift: encoding,.*; test_vit: layer"),
        ("sift+test_vit", "test_vit.words", r"has an option 'test_vit\.words'.*test_vit: layer, pool"),
        ("sift+test_vit", "color.words", r"has an option 'color\.words'"),
        ("sift", "color.words", r"'sift' has no option 'color\.words'"),
    ],
)  # fmt: skip
def test_an_option_that_no_part_has_is_refused(name: str, option: str, message: str):
    with pytest.raises(ConfigError, match=message):
        create_extractor(name, "random", **{option: 1})


def test_weights_go_to_the_networks(tmp_path: Path):
    for name in ("test_vit", "test_resnet"):
        save_file(build("timm", name, "random").net.state_dict(), tmp_path / f"{name}.safetensors")
    vit, resnet = tmp_path / "test_vit.safetensors", tmp_path / "test_resnet.safetensors"

    def found(name: str, weights: Any) -> dict[str, str]:
        return create_extractor(name, weights).provenance()["weights"]

    assert found("color+test_vit+test_resnet", "random") == {"test_vit": "random", "test_resnet": "random"}
    assert found("color+test_vit", vit) == {"test_vit": vit.name}  # the only one that it can be for
    each = {"test_vit": vit, "test_resnet": str(resnet)}
    assert found("test_resnet+test_vit", each) == {"test_vit": vit.name, "test_resnet": resnet.name}
    mixed = {"test_vit": "random", "test_resnet": resnet}
    assert found("test_vit+test_resnet", mixed) == {"test_vit": "random", "test_resnet": resnet.name}
    assert found("test_vit", {"test_vit": vit}) == vit.name


def test_weights_that_could_be_for_several_networks_are_refused(tmp_path: Path):
    with pytest.raises(
        ConfigError,
        match=r"w\.pth could be for any of test_vit, test_resnet\. Say which: --weights test_vit=FILE",
    ):
        create_extractor("test_vit+color+test_resnet", tmp_path / "w.pth")


def test_weights_for_what_has_none_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"'color' has no weights; found 'random'. Leave --weights out"):
        create_extractor("color", "random")
    with pytest.raises(ConfigError, match=r"'sift' has no weights; found .*w\.pth"):
        create_extractor("color+sift", {"sift": tmp_path / "w.pth"})
    file = save_onnx(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match=r"a\.onnx' has its weights in its file; found 'random'"):
        create_extractor(f"onnx:{file}", "random")
    with pytest.raises(ConfigError, match=r"given for 'test_vi', .*expected one of test_vit, color"):
        create_extractor("test_vit+color", {"test_vi": "random"})


def test_a_plus_in_the_name_of_an_onnx_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save_onnx(tmp_path / "a+b.onnx")
    save_onnx(tmp_path / "c.onnx")
    assert split_name("onnx:a+b.onnx") == ["onnx:a+b.onnx"]
    assert split_name("color+onnx:a+b.onnx+sift+onnx:c.onnx") == [
        "color",
        "onnx:a+b.onnx",
        "sift",
        "onnx:c.onnx",
    ]
    made = create_extractor("onnx:a+b.onnx+color")
    assert made.shape == (3 + Color().dim,)
    with pytest.raises(FeaturesError, match=r"a\+x\.onnx: no such file"):
        create_extractor("onnx:a+x.onnx")


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="Did you mean color"):
        create_extractor("sift+colour")


def test_whether_any_part_has_an_option():
    assert has_option("test_vit", "pool")
    assert has_option("color+onnx:none.onnx", "mean")
    assert has_option("color+sift", "words")
    assert not has_option("color+sift", "pool")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("color", "color"),
        ("timm:resnet50.a1_in1k", "timm_resnet50.a1_in1k"),
        ("resnet50 + color", "resnet50+color"),
        ("onnx:/models/my net/v1.onnx", "onnx_v1"),
        ("onnx:../a/b.onnx", "onnx_b"),
    ],
)
def test_a_name_of_features_is_a_name_of_a_folder(name: str, folder: str):
    assert folder_name(name) == folder


def test_paths_within_a_name_are_changed_alone(tmp_path: Path):
    file = save_onnx(tmp_path / "a+b.onnx")
    found = with_paths(f"color+onnx:{file}+timm:resnet50", lambda path: Path(path).name)
    assert found == "color+onnx:a+b.onnx+timm:resnet50"
    assert with_paths("sift", lambda path: "changed") == "sift"
