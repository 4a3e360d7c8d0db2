from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from visrec.data.images import decode
from visrec.errors import ConfigError, FeaturesError
from visrec.features.onnx import Onnx

Shared = Callable[[str], Path]
Shape = Sequence[int | str | None]

MOBILENET = "weights/mobilenet_v2.onnx"
PLAIN = {"mean": 0, "std": 1, "scale": 1}  # pixels as they are
SIDE = 8


def save(
    path: Path,
    nodes: list[Any],
    *,
    shape: Shape = ("n", 3, SIDE, SIDE),
    dtype: int = TensorProto.FLOAT,
    outputs: dict[str, Shape] | None = None,
    inputs: Sequence[Any] = (),
    metadata: dict[str, str] | None = None,
    constants: dict[str, np.ndarray] | None = None,
    **options: Any,
) -> Path:
    """A file with a network from the input "x"."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", dtype, shape), *inputs],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, one)
            for name, one in (outputs or {"y": ("n", 3)}).items()
        ],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, path, **options)
    return path


def means(source: str = "x") -> list[Any]:
    """The mean of each channel: `(n, C, H, W)` to "y" `(n, C)`."""
    return [helper.make_node("ReduceMean", [source], ["y"], axes=[2, 3], keepdims=0)]


def pictures(n: int, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *size, 3), dtype=np.uint8)


def test_real_mobilenet_recognizes_real_photos(shared: Shared):
    labels = shared("weights/imagenet_labels.txt").read_text().splitlines()
    net = Onnx(shared(MOBILENET), layer="logits", mean=0.5, std=0.5)  # x / 127.5 - 1
    for photo, label in (("parrot.jpg", "macaw"), ("hot_dog.jpg", "hotdog, hot dog, red hot")):
        batch = net.preparation(decode(shared(f"weights/photos/{photo}")))[None]
        assert labels[1 + int(net.encode(batch)[0].argmax())] == label


def test_real_mobilenet_gives_vectors_and_regions(shared: Shared):
    file = shared(MOBILENET)
    vector = Onnx(file)
    pooled = Onnx(file, layer="fmap")
    regions = Onnx(file, layer="fmap", pool="regions")
    batch = pictures(2, (224, 224))
    assert vector.shape == pooled.shape == (1280,)
    assert (regions.shape, regions.grid, regions.dim) == ((49, 1280), (7, 7), 1280)
    # Its embedding is the mean of its last map.
    embedding = vector.encode(batch)
    np.testing.assert_allclose(pooled.encode(batch), embedding, atol=1e-5)
    np.testing.assert_allclose(regions.encode(batch).mean(axis=1), embedding, atol=1e-5)


def test_a_vector_is_the_same_alone_and_among_others(shared: Shared):
    net = Onnx(shared(MOBILENET))
    batch = pictures(11, (224, 224))
    together = net.encode(batch)
    assert together.shape == (11, 1280)
    for i in range(11):
        assert net.encode(batch[i : i + 1])[0].tobytes() == together[i].tobytes()
    assert (net.submit(batch[::-1]).result() == together[::-1]).all()


def test_provenance_says_what_makes_the_vectors(shared: Shared):
    file = shared(MOBILENET)
    provenance = Onnx(file, layer="fmap", pool="gem", mean=0.5, std=0.5).provenance()
    assert provenance["extractor"] == f"onnx:{file.name}"
    assert (provenance["source"], provenance["weights"]) == ("onnx", "mobilenet_v2.onnx")
    assert provenance["weights_digest"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert provenance["layer"] == "fmap, gem"
    assert provenance["transform"] == (
        "resize 256 bilinear, centre crop 224 x 224, mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5]"
    )
    assert provenance["options"]["mean"] == [0.5, 0.5, 0.5]
    assert set(provenance["versions"]) == {"onnxruntime", "pillow"}


def test_metadata_of_the_file_stand_for_options_not_given(shared: Shared, tmp_path: Path):
    model = onnx.load(shared(MOBILENET))
    metadata = {
        "layer": "fmap",
        "pool": "max",
        "input_size": "160x128",
        "mean": "0.5, 0.4 0.3",
        "std": "[0.5,0.5,0.6]",
    }
    helper.set_model_props(model, {**metadata, "author": "somebody"})
    file = tmp_path / "net.onnx"
    onnx.save(model, file)
    by_file = Onnx(file)
    options = {"input_size": (160, 128), "mean": (0.5, 0.4, 0.3), "std": (0.5, 0.5, 0.6)}
    by_hand = Onnx(shared(MOBILENET), layer="fmap", pool="max", **options)
    assert by_file.options == by_hand.options
    batch = pictures(1, (160, 128))
    assert (by_file.encode(batch) == by_hand.encode(batch)).all()
    assert Onnx(file, pool="mean", mean=0).options.mean == (0, 0, 0)
    assert by_file.preparation(Image.new("RGB", (300, 300))).shape == (160, 128, 3)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_values_are_scaled_and_shifted_as_the_options_say(tmp_path: Path, channels: str):
    file = save(tmp_path / "net.onnx", means())
    batch = pictures(3)
    net = Onnx(file, scale=127.5, mean=(1, 0.9, 0.8), std=(1, 2, 3), channels=channels)
    found = net.encode(batch)
    for b in range(3):
        for place, (mean, std) in enumerate(((1, 1), (0.9, 2), (0.8, 3))):  # in the order of the channels
            colour = place if channels == "rgb" else 2 - place
            values = [(int(value) / 127.5 - mean) / std for value in batch[b, :, :, colour].ravel()]
            assert found[b, place] == pytest.approx(sum(values) / len(values), abs=1e-5)
    assert ("as BGR" in net.provenance()["transform"]) == (channels == "bgr")


@pytest.mark.parametrize(("options", "mean"), [({}, 0.485), ({"scale": 1}, 0.485 * 255)])
def test_imagenet_is_assumed_where_nothing_is_said(
    tmp_path: Path, options: dict[str, Any], mean: float, caplog: pytest.LogCaptureFixture
):
    file = save(tmp_path / "net.onnx", means())
    with caplog.at_level(logging.INFO, "visrec"):
        net = Onnx(file, **options)
    assert "mean and std" in caplog.text
    assert "ImageNet is assumed" in caplog.text
    assert net.options.mean is not None
    assert net.options.mean[0] == pytest.approx(mean)
    grey = np.full((1, SIDE, SIDE, 3), 100, dtype=np.uint8)  # either way the network sees the same values
    assert net.encode(grey)[0, 0] == pytest.approx((100 / 255 - 0.485) / 0.229, abs=1e-5)
    caplog.clear()
    Onnx(file, mean=0, std=1)
    assert "assumed" not in caplog.text


def test_networks_with_channels_last_get_them_last(tmp_path: Path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["t"], ["p"], kernel_shape=[4, 2], strides=[4, 2]),
        helper.make_node("Transpose", ["p"], ["y"], perm=[0, 2, 3, 1]),
    ]
    file = save(tmp_path / "net.onnx", nodes, shape=("n", SIDE, SIDE, 3), outputs={"y": ("n", 2, 4, 3)})
    net = Onnx(file, pool="regions", **PLAIN)
    batch = pictures(2)
    found = net.encode(batch)
    assert (net.shape, net.grid) == ((8, 3), (2, 4))
    for y in range(2):
        for x in range(4):
            cell = batch[:, 4 * y : 4 * y + 4, 2 * x : 2 * x + 2].reshape(2, -1, 3)
            np.testing.assert_allclose(found[:, 4 * y + x], cell.mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.UINT8])
def test_inputs_of_other_types_are_fed_in_them(tmp_path: Path, dtype: int):
    nodes = [helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT), *means("c")]
    file = save(tmp_path / "net.onnx", nodes, dtype=dtype)
    net = Onnx(file, **({} if dtype == TensorProto.UINT8 else PLAIN))
    batch = pictures(2)
    np.testing.assert_allclose(
        net.encode(batch), batch.mean(axis=(1, 2)), rtol=1e-5
    )  # 0 … 255 fit into float16
    if dtype == TensorProto.UINT8:
        assert net.provenance()["transform"].endswith("centre crop 8 x 8, values 0 to 255")
        with pytest.raises(ConfigError, match=r"input is uint8.*mean has no place there. Leave it out"):
            Onnx(file, mean=0.5)


@pytest.mark.parametrize("said", [True, False])
def test_a_file_for_a_fixed_number_of_pictures_gets_that_many(tmp_path: Path, said: bool):
    fixed = 3 if said else 1
    nodes = [helper.make_node("Reshape", ["x", "to"], ["r"]), *means("r")]
    to = np.array([fixed, 3, SIDE, SIDE], dtype=np.int64)  # fails for any other number
    file = save(tmp_path / "net.onnx", nodes, shape=(3 if said else "n", 3, SIDE, SIDE), constants={"to": to})
    net = Onnx(file, **PLAIN)
    for n in (1, 3, 7):
        batch = pictures(n)
        np.testing.assert_allclose(net.encode(batch), batch.mean(axis=(1, 2)), rtol=1e-5)


def tokens_file(path: Path, prefix: int) -> Path:
    """A network with a token for each pixel of a 4 x 4 picture, after some tokens of zeros."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], axis=1),
        helper.make_node("Reshape", ["f", "to"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
        helper.make_node("Concat", ["n", "size"], ["shape"], axis=0),
        helper.make_node("Expand", ["zeros", "shape"], ["z"]),
        helper.make_node("Concat", ["z", "t"], ["y"], axis=1),
    ]
    constants = {
        "to": np.array([-1, 3, 16], dtype=np.int64),
        "size": np.array([prefix, 3], dtype=np.int64),
        "zeros": np.zeros((prefix, 3), dtype=np.float32),
    }
    return save(path, nodes, shape=("n", 3, 4, 4), outputs={"y": ("n", 16 + prefix, 3)}, constants=constants)


@pytest.mark.parametrize("prefix", [1, 5])
def test_tokens_are_those_of_the_patches(tmp_path: Path, prefix: int):
    file = tokens_file(tmp_path / "net.onnx", prefix)
    batch = pictures(2, (4, 4))
    pixels = batch.reshape(2, 16, 3).astype(np.float32)
    regions = Onnx(file, pool="regions", **PLAIN)
    assert (regions.shape, regions.grid) == ((16, 3), (4, 4))
    np.testing.assert_allclose(regions.encode(batch), pixels, rtol=1e-6)
    np.testing.assert_allclose(Onnx(file, **PLAIN).encode(batch), pixels.mean(axis=1), rtol=1e-6)
    assert (Onnx(file, pool="cls", **PLAIN).encode(batch) == 0).all()
    all_tokens = Onnx(file, pool="mean", n_prefix=0, **PLAIN).encode(batch)
    np.testing.assert_allclose(all_tokens, pixels.sum(axis=1) / (16 + prefix), rtol=1e-6)
    with pytest.raises(ConfigError, match=r"tokens of patches alone, without a class token.*n_prefix=1"):
        Onnx(file, pool="cls", n_prefix=0, **PLAIN)
    with pytest.raises(ConfigError, match=rf"n_prefix is 99; expected less than the {16 + prefix} tokens"):
        Onnx(file, n_prefix=99, **PLAIN)


def test_tokens_of_patches_alone_have_no_class_token(tmp_path: Path):
    file = tokens_file(tmp_path / "net.onnx", 0)
    with pytest.raises(ConfigError, match=r"tokens of patches alone, without a class token"):
        Onnx(file, pool="cls", **PLAIN)


def test_the_first_vector_is_taken_where_there_are_several_outputs(tmp_path: Path):
    nodes = [
        helper.make_node("Relu", ["x"], ["map"]),
        *means("map"),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    outputs: dict[str, Shape] = {"map": ("n", 3, SIDE, SIDE), "y": ("n", 3), "z": ("n", 3)}
    assert Onnx(save(tmp_path / "net.onnx", nodes, outputs=outputs), **PLAIN).layer == "y"
    outputs = {"map": ("n", 3, SIDE, SIDE), "two": ("n", 3, SIDE, SIDE)}
    nodes = [nodes[0], helper.make_node("Neg", ["x"], ["two"])]
    file = save(tmp_path / "maps.onnx", nodes, outputs=outputs)
    with pytest.raises(
        FeaturesError, match=r"none of its outputs is one vector.*two \(n, 3, 8, 8\).*--layer map"
    ):
        Onnx(file)
    assert Onnx(file, layer="two").shape == (3,)


def test_weights_beside_the_file_count_in_its_digest(tmp_path: Path):
    nodes = [helper.make_node("Mul", ["x", "w"], ["m"]), *means("m")]
    digests = set()
    for value in (1.0, 2.0):
        file = tmp_path / f"{value}" / "net.onnx"
        file.parent.mkdir()
        weights = np.full((1, 3, SIDE, SIDE), value, dtype=np.float32)
        beside = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
        save(file, nodes, constants={"w": weights}, **beside)
        net = Onnx(file, **PLAIN)
        np.testing.assert_allclose(net.encode(pictures(1)), value * pictures(1).mean(axis=(1, 2)), rtol=1e-5)
        digests.add(net.provenance()["weights_digest"])
    assert (tmp_path / "1.0/net.onnx").read_bytes() == (tmp_path / "2.0/net.onnx").read_bytes()
    assert len(digests) == 2


def test_files_that_are_no_such_networks_are_refused(tmp_path: Path):
    file = tmp_path / "net.onnx"
    with pytest.raises(FeaturesError, match=r"net.onnx: no such file.*onnx:FILE"):
        Onnx(file)
    for content in (b"", b"not a network", bytes(1000)):
        file.write_bytes(content)
        with pytest.raises(FeaturesError, match=r"net.onnx: .*as torch.onnx.export writes it"):
            Onnx(file)
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, ("n", 3))
    added = [*means(), helper.make_node("Add", ["y", "other"], ["z"])]
    save(file, added, inputs=[other], outputs={"z": ("n", 3)})
    with pytest.raises(FeaturesError, match=r"has 2 inputs, x \(n, 3, 8, 8\), other \(n, 3\); expected one"):
        Onnx(file)
    save(file, means(), shape=("n", 1, SIDE, SIDE), outputs={"y": ("n", 1)})
    with pytest.raises(
        FeaturesError, match=r"its input is x \(n, 1, 8, 8\); expected a batch of RGB pictures"
    ):
        Onnx(file)
    cast = [helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT), *means("c")]
    save(file, cast, dtype=TensorProto.INT64)
    with pytest.raises(FeaturesError, match=r"input 'x' is a tensor\(int64\); expected tensor\(float\)"):
        Onnx(file)
    mixed = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 2, 3], keepdims=0)]
    save(file, mixed, outputs={"y": (3,)})
    with pytest.raises(
        FeaturesError, match=r"output 'y' is \(3,\) float32 for a batch of 1; expected vectors"
    ):
        Onnx(file)


def test_options_that_do_not_fit_are_refused(tmp_path: Path):
    file = save(tmp_path / "net.onnx", means())
    with pytest.raises(ConfigError, match=r"no output 'fc'. Its outputs: y \(n, 3\)"):
        Onnx(file, layer="fc")
    with pytest.raises(ConfigError, match=r"one vector of 3 numbers a picture; there is nothing to pool"):
        Onnx(file, pool="max")
    with pytest.raises(ConfigError, match=r"takes pictures of 8 x 8 only; found input_size 9 x 9"):
        Onnx(file, input_size=9)
    for option in ("input_size", "resize"):
        with pytest.raises(ConfigError, match=rf"'{option}.* is 5000: .*4096"):
            Onnx(file, **{option: 5000})
    with pytest.raises(ConfigError, match=r"unknown setting 'depth'. Known settings: layer, pool"):
        Onnx(file, depth=3)
    a_map = save(
        tmp_path / "map.onnx", [helper.make_node("Relu", ["x"], ["y"])], outputs={"y": ("n", 3, 8, 8)}
    )
    with pytest.raises(ConfigError, match=r"is a map, without a class token"):
        Onnx(a_map, pool="cls")
    wrong = save(tmp_path / "wrong.onnx", means(), metadata={"mean": "grey"})
    with pytest.raises(
        FeaturesError, match=r"wrong.onnx: its metadata are not as expected: .*'mean' is 'grey'"
    ):
        Onnx(wrong)
    to = np.array([-1, 3, 6, 6], dtype=np.int64)
    nodes = [helper.make_node("Reshape", ["x", "to"], ["r"]), *means("r")]
    open_size = save(tmp_path / "open.onnx", nodes, shape=("n", 3, "h", "w"), constants={"to": to})
    with pytest.raises(
        FeaturesError, match=r"does not take an input of \(1, 3, 10, 10\).*--set input_size=SIDE"
    ):
        Onnx(open_size, input_size=10)
    assert Onnx(open_size, input_size="6").shape == (3,)


def test_without_onnxruntime_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = save(tmp_path / "net.onnx", means())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FeaturesError, match=r"needs onnxruntime: pip install 'visrec\[onnx\]'"):
        Onnx(file)
