from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from visrec.data.images import decode
from visrec.errors import ConfigError, FeaturesError
from visrec.features.architectures import _projects, backbone_names, resolve_backbone
from visrec.features.backbones import Backbone
from visrec.features.layers import has_bfloat16
from visrec.features.weights import seeded, state_digest

Shared = Callable[[str], Path]


def noise(seed: int, size: tuple[int, int] = (250, 180)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)


def squeezenet(classes: int = 1000) -> torch.nn.Module:
    from torchvision import models

    return seeded(lambda: models.squeezenet1_1(num_classes=classes))


def test_a_bare_name_means_torchvision_then_timm():
    assert resolve_backbone("resnet50") == ("torchvision", "resnet50")
    assert resolve_backbone("timm:resnet50") == ("timm", "resnet50")
    assert resolve_backbone("torchvision:resnet50") == ("torchvision", "resnet50")
    assert resolve_backbone("vit_base_patch16_224") == ("timm", "vit_base_patch16_224")
    assert resolve_backbone("resnet50.a1_in1k") == ("timm", "resnet50.a1_in1k")
    assert len(backbone_names("torchvision")) >= 80
    assert len(backbone_names("timm")) > 1000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet51", r"Did you mean .*resnet50.*`visrec extractors` lists"),
        ("colour", r"Did you mean color"),
        ("timm:resnet5000", r"timm:resnet50"),
        ("torchvision:resnet26d", r"There is no extractor 'torchvision:resnet26d'"),
        ("keras:resnet50", r"no source 'keras'.*timm:, torchvision: or onnx:"),
        ("resnet50.nope", r"no weights 'resnet50.nope'.*resnet50.a1_in1k"),
    ],
)
def test_an_unknown_name_is_refused_with_near_misses(name: str, message: str):
    with pytest.raises(ConfigError, match=message):
        Backbone(name, weights="random")


def test_real_squeezenet_recognizes_real_photos_through_its_transform(shared: Shared):
    from torchvision import models

    weights = shared("weights/squeezenet1_0.safetensors")
    labels = shared("weights/imagenet_labels.txt").read_text().splitlines()[1:]  # the first is "background"
    extractor = Backbone("squeezenet1_0", weights=weights, precision="float32")
    net = models.squeezenet1_0()
    net.load_state_dict(torch.load(shared("weights/squeezenet1_0.pth"), weights_only=True))
    net.eval()
    for name, label in (("parrot", "macaw"), ("hot_dog", "hotdog, hot dog, red hot")):
        batch = extractor.preparation(decode(shared(f"weights/photos/{name}.jpg")))[None]
        with torch.inference_mode():
            maps = net.features(extractor.normalize(batch))  # (1, 512, 13, 13)
            scores = net.classifier(maps).flatten()
        assert labels[int(scores.argmax())] == label
        np.testing.assert_allclose(extractor.encode(batch)[0], maps.mean(dim=(2, 3))[0], rtol=1e-4, atol=1e-5)


def test_the_same_weights_in_another_container_are_the_same(shared: Shared):
    one = Backbone("squeezenet1_0", weights=shared("weights/squeezenet1_0.safetensors"))
    other = Backbone("torchvision:squeezenet1_0", weights=str(shared("weights/squeezenet1_0.pth")))
    assert one.name == other.name == "squeezenet1_0"
    batch = np.stack([one.preparation(noise(0)), one.preparation(noise(1))])
    assert np.array_equal(one.encode(batch), other.encode(batch))
    about, again = one.provenance(), other.provenance()
    assert about["weights_digest"] == again["weights_digest"]
    assert (about["weights"], again["weights"]) == ("squeezenet1_0.safetensors", "squeezenet1_0.pth")
    assert about["transform"] == again["transform"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "test_resnet", "test_vit"])
def test_a_batch_of_one_equals_a_batch_of_many(name: str, precision: str):
    extractor = Backbone(name, weights="random", precision=precision)
    batch = np.stack([extractor.preparation(noise(seed)) for seed in range(5)])
    many = extractor.encode(batch)
    assert many.shape == (5, extractor.dim)
    assert many.dtype == np.float32
    ones = np.concatenate([extractor.encode(batch[i : i + 1]) for i in range(5)])
    assert np.array_equal(many, ones)  # bit for bit: pieces have one size
    assert np.array_equal(extractor.encode(batch[::-1])[::-1], many)


def test_random_weights_are_seeded_recorded_and_announced(caplog: pytest.LogCaptureFixture):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING, logger="visrec"):
        one = Backbone("squeezenet1_1", weights="random")
    assert "random weights" in caplog.text
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = Backbone("squeezenet1_1", weights="random")
    about = one.provenance()
    assert about["weights"] == "random"
    assert about["weights_digest"] == other.provenance()["weights_digest"]
    timm = [Backbone("test_vit", weights="random").provenance()["weights_digest"] for _ in range(2)]
    assert timm[0] == timm[1]


def test_what_the_network_sees_is_torchvisions_own_transform():
    from torchvision import models

    extractor = Backbone("squeezenet1_1", weights="random")
    for size in ((250, 180), (100, 300), (8, 9)):
        expected = models.get_model_weights("squeezenet1_1").DEFAULT.transforms()(noise(0, size))
        got = extractor.normalize(extractor.preparation(noise(0, size))[None])[0]
        # At most one level of 255 in rare pixels (see `Transform`), divided by the smallest deviation.
        assert float((got - expected).abs().max()) <= 1 / 255 / 0.224 + 1e-5
        assert float((got != expected).float().mean()) < 0.002


def test_a_strip_of_pixels_takes_no_more_memory_than_a_picture():
    extractor = Backbone("squeezenet1_1", weights="random")
    for size in ((1, 20_000), (20_000, 1), (3, 3000)):
        assert extractor.preparation(noise(0, size)).shape == (224, 224, 3)


def test_googlenet_and_inception_take_our_normalization_whatever_weights_they_have():
    # Their published weights want inputs in -1 … 1; torchvision switches the conversion on only with them.
    extractor = Backbone("googlenet", weights="random")
    assert extractor._tap.net.transform_input is True
    assert extractor._tap.net.aux1 is None
    assert extractor.dim == 1024


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "bin"])
def test_a_file_of_weights_is_loaded(tmp_path: Path, suffix: str):
    net = squeezenet()
    with torch.no_grad():
        net.classifier[1].bias += 1  # type: ignore[index, operator, union-attr]
    path = tmp_path / f"w.{suffix}"
    save_file(net.state_dict(), path) if suffix == "safetensors" else torch.save(net.state_dict(), path)
    extractor = Backbone("squeezenet1_1", weights=path)
    assert extractor.provenance()["weights"] == f"w.{suffix}"
    assert extractor.provenance()["weights_digest"] == state_digest(net)


def test_a_file_that_does_not_fit_names_the_first_keys(tmp_path: Path):
    state = squeezenet().state_dict()
    path = tmp_path / "w.safetensors"

    def message(changed: dict[str, torch.Tensor]) -> str:
        save_file(changed, path)
        with pytest.raises(FeaturesError) as raised:
            Backbone("squeezenet1_1", weights=path)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    less = {key: one for key, one in state.items() if not key.startswith("features.0")}
    assert "it lacks features.0.weight, features.0.bias" in message(less)
    assert "it has the unknown extra.weight" in message({**state, "extra.weight": torch.ones(1)})
    assert "size mismatch for classifier.1.weight" in message(dict(squeezenet(7).state_dict()))
    prefixed = {f"module.{key}": one for key, one in state.items()}
    assert f"and {len(state) - 3} more" in message(prefixed)
    whole = f"It holds {len(less)} tensors; expected the {len(state)} of this very network, its classifier included."
    assert message(less).endswith(whole)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path):
    def message(name: str) -> str:
        with pytest.raises(FeaturesError) as raised:
            Backbone("squeezenet1_1", weights=tmp_path / name)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "no such file of weights" in message("none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("<html>\n<body>\n")
        assert "cannot be read as weights: it is text, which begins with '<html>'. Expected" in message(name)
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).touch()
        assert "cannot be read as weights: it is empty. Expected" in message(name)
    for name in ("damaged.pth", "damaged.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(100))
        assert "cannot be read as weights: it is damaged, or no such file at all. Exp" in message(name)
    torch.save({"epoch": 3, "state_dict": squeezenet().state_dict()}, tmp_path / "checkpoint.pth")
    assert "the keys ['epoch', 'state_dict']; expected a state dict" in message("checkpoint.pth")
    torch.save([1], tmp_path / "list.pth")
    assert "a list; expected a state dict" in message("list.pth")
    torch.save(squeezenet(), tmp_path / "model.pth")  # a pickle, which may run anything: not read
    assert "cannot be read as weights: it holds more than tensors" in message("model.pth")


def test_weights_that_cannot_be_downloaded_say_which_and_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    for name, file, where in (
        (
            "squeezenet1_0",
            "squeezenet1_0-b66bff10.pth",
            "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
        ),
        ("test_vit", "model.safetensors", "huggingface.co/timm/test_vit.r160_in1k"),
    ):
        with pytest.raises(FeaturesError, match=r"--weights FILE.*--weights random") as raised:
            Backbone(name)
        assert where in str(raised.value)
        assert file in str(raised.value)  # which file, and where it was looked for
        assert str(tmp_path) in str(raised.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_densenet_files_with_their_old_names_are_read(tmp_path: Path):
    from torchvision import models

    state = models.densenet121().state_dict()
    for old, new in (("norm.1", "norm1"), ("conv.1", "conv1"), ("norm.2", "norm2"), ("conv.2", "conv2")):
        state = {
            key.replace(f".{new}.", f".{old}.") if "denselayer" in key else key: one
            for key, one in state.items()
        }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save({key: one for key, one in state.items() if "num_batches" not in key}, tmp_path / "w.pth")
    assert Backbone("densenet121", weights=tmp_path / "w.pth").dim == 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dim"),
    [
        # The networks that the tutorial and its slides name, with the dimensions of their papers.
        ("alexnet", 4096),
        ("vgg16", 4096),
        ("vgg19", 4096),
        ("googlenet", 1024),
        ("inception_v3", 2048),
        ("inception_v4", 1536),
        ("inception_resnet_v2", 1536),
        ("resnet18", 512),
        ("resnet34", 512),
        ("resnet50", 2048),
        ("resnet101", 2048),
        ("resnet152", 2048),
        ("nasnet_large", 4032),
        ("pnasnet_large", 4320),
        ("mnasnet1_0", 1280),
        ("mobilenet_v1", 1024),
        ("mobilenet_v2", 1280),
        ("mobilenet_v3_small", 1024),
        ("mobilenet_v3_large", 1280),
        ("efficientnet_b0", 1280),
        ("convnext_tiny", 768),
        ("vit_b_16", 768),
        ("vit_base_patch16_224", 768),
        ("dinov2", 384),
        ("dinov3", 384),
        ("clip", 512),
        ("siglip", 768),
        # One of each other family.
        ("squeezenet1_0", 512),
        ("regnet_y_400mf", 440),
        ("shufflenet_v2_x0_5", 1024),
        ("densenet121", 1024),
        ("maxvit_t", 512),
        ("swin_t", 768),
        ("swin_v2_t", 768),
        ("timm:resnet26d", 2048),
        ("timm:vgg11", 4096),
        ("mobilenetv3_small_050", 1024),
        ("vit_tiny_patch16_224", 192),
        ("deit_tiny_distilled_patch16_224", 192),
        ("efficientformer_l1", 448),
    ],
)
def test_dim_of_each_family(name: str, dim: int, shared: Shared):
    extractor = Backbone(name, weights="random")
    assert extractor.shape == (dim,)
    photo = decode(shared("weights/photos/parrot.jpg"))
    vector = extractor.encode(extractor.preparation(photo)[None])
    assert vector.shape == (1, dim)
    assert np.isfinite(vector).all()
    assert vector.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "regions"),
    [
        ("alexnet", (36, 256)),
        ("vgg16", (49, 512)),
        ("vgg19", (49, 512)),
        ("googlenet", (49, 1024)),
        ("inception_v3", (64, 2048)),
        ("inception_v4", (64, 1536)),
        ("resnet50", (49, 2048)),
        ("densenet121", (49, 1024)),
        ("mobilenet_v1", (49, 1024)),
        ("mobilenet_v3_large", (49, 960)),
        ("mnasnet1_0", (49, 1280)),
        ("efficientnet_b0", (49, 1280)),
        ("convnext_tiny", (49, 768)),
        ("squeezenet1_0", (169, 512)),
        ("shufflenet_v2_x0_5", (49, 1024)),
        ("swin_t", (49, 768)),
        ("vit_b_16", (196, 768)),
        ("vit_base_patch16_224", (196, 768)),
        ("dinov2", (1369, 384)),
        ("dinov3", (256, 384)),
        ("clip", (49, 768)),
        ("siglip", (196, 768)),
        ("swin_tiny_patch4_window7_224", (49, 768)),
    ],
)
def test_regions_of_each_family(name: str, regions: tuple[int, int]):
    extractor = Backbone(name, weights="random", pool="regions")
    assert extractor.shape == regions
    assert extractor.grid == (regions[0] ** 0.5, regions[0] ** 0.5)


def test_alexnet_gives_its_penultimate_layer_as_well_as_its_map():
    alexnet = Backbone("alexnet", weights="random", precision="float32")
    assert alexnet.shape == (4096,)
    assert (alexnet.encode(alexnet.preparation(noise(0))[None]) >= 0).all()  # after its ReLU
    by_name = Backbone("alexnet", weights="random", precision="float32", layer="features", pool="max")
    last = Backbone("alexnet", weights="random", precision="float32", pool="max")
    assert by_name.shape == last.shape == (256,)
    batch = last.preparation(noise(0))[None]
    assert np.array_equal(by_name.encode(batch), last.encode(batch))


def test_a_named_layer_is_what_that_module_gives():
    from torchvision import models

    net = seeded(models.resnet18).eval()
    batch = np.stack([Backbone("resnet18", weights="random").preparation(noise(seed)) for seed in (0, 1)])
    for layer in ("layer3", "layer3.1.conv2", "maxpool"):
        kept: list[torch.Tensor] = []
        handle = net.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))  # noqa: B023
        extractor = Backbone("resnet18", weights="random", layer=layer, precision="float32")
        with torch.inference_mode():
            net(extractor.normalize(batch))
        handle.remove()
        expected = kept[0].numpy()
        for pool, value in (("mean", expected.mean(axis=(2, 3))), ("max", expected.max(axis=(2, 3)))):
            one = Backbone("resnet18", weights="random", layer=layer, pool=pool, precision="float32")
            np.testing.assert_allclose(one.encode(batch), value, rtol=1e-3, atol=1e-4)
        regions = Backbone("resnet18", weights="random", layer=layer, pool="regions", precision="float32")
        b, c, h, w = expected.shape
        assert regions.grid == (h, w)
        np.testing.assert_allclose(
            regions.encode(batch), expected.reshape(b, c, h * w).transpose(0, 2, 1), rtol=1e-3, atol=1e-4
        )


def test_regions_can_be_coarser_than_the_map():
    fine = Backbone("resnet18", weights="random", pool="regions", precision="float32", input_size=128)
    coarse = Backbone(
        "resnet18", weights="random", pool="regions", grid=2, precision="float32", input_size=128
    )
    assert fine.grid == (4, 4)
    assert (coarse.grid, coarse.shape) == ((2, 2), (4, 512))
    batch = fine.preparation(noise(0))[None]
    expected = fine.encode(batch).reshape(1, 2, 2, 2, 2, 512).mean(axis=(2, 4)).reshape(1, 4, 512)
    np.testing.assert_allclose(coarse.encode(batch), expected, rtol=1e-4, atol=1e-6)
    assert "grid" not in fine.provenance()["options"]  # features of before there were grids remain the same
    assert coarse.provenance()["options"]["grid"] == 2
    assert coarse.layer.endswith("regions 2 x 2")


def test_a_grid_without_regions_is_refused():
    with pytest.raises(ConfigError, match="Set pool = 'regions'"):
        Backbone("resnet18", weights="random", grid=2)


@pytest.mark.slow
def test_tokens_are_split_into_class_and_patches():
    cls = Backbone("vit_b_32", weights="random", pool="cls", precision="float32")
    mean = Backbone("vit_b_32", weights="random", pool="mean", precision="float32")
    regions = Backbone("vit_b_32", weights="random", pool="regions", precision="float32")
    batch = cls.preparation(noise(0))[None]
    vector = Backbone("vit_b_32", weights="random", precision="float32").encode(batch)
    np.testing.assert_allclose(cls.encode(batch), vector, atol=1e-5)  # its classifier reads the class token
    assert regions.shape == (49, 768)
    np.testing.assert_allclose(regions.encode(batch).mean(axis=1), mean.encode(batch), atol=1e-5)
    assert not np.allclose(mean.encode(batch), vector, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "layer5"}, r"no layer 'layer5'\. Did you mean layer"),
        ({"layer": "layer4", "pool": "cls"}, "no class token"),
        ({"layer": "avgpool.x"}, r"no layer 'avgpool\.x'.*conv1, bn1"),
        ({"pool": "median"}, "'pool' is 'median'"),
        ({"precision": "int8"}, "'precision' is 'int8'"),
        ({"input_size": 4}, "'input_size' is 4"),
        ({"input_size": 5000}, "'input_size' is 5000.*4096"),
    ],
)
def test_a_wrong_option_is_refused_with_a_hint(options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        Backbone("resnet18", weights="random", **options)


def test_real_squeezenet_names_real_photos_by_its_last_layer(shared: Shared):
    labels = shared("weights/imagenet_labels.txt").read_text().splitlines()[1:]  # the first is "background"
    weights = shared("weights/squeezenet1_0.safetensors")
    extractor = Backbone("squeezenet1_0", weights=weights, layer="classifier")
    for name, label in (("parrot", "macaw"), ("hot_dog", "hotdog, hot dog, red hot")):
        photo = extractor.preparation(decode(shared(f"weights/photos/{name}.jpg")))
        scores = extractor.encode(photo[None])[0]
        assert scores.shape == (1000,)
        assert labels[int(scores.argmax())] == label


def test_registers_alone_are_no_class_token():
    name = "vit_medium_patch16_reg1_gap_256"  # one register, no class token
    with pytest.raises(ConfigError, match="no class token"):
        Backbone(name, weights="random", pool="cls")
    assert Backbone("test_vit", weights="random", pool="cls").shape == (64,)


@pytest.mark.slow
def test_a_cubic_map_of_a_network_with_channels_last_is_read_so():
    from torchvision import models

    # 4 pixels a patch: 96 x 96 of them, of 96 numbers each
    how = {"weights": "random", "pool": "regions", "input_size": 384, "precision": "float32"}
    extractor = Backbone("swin_t", layer="features.1", **how)
    assert extractor.shape == (96 * 96, 96)
    net = seeded(lambda: models.swin_t(weights=None)).eval()
    batch = extractor.preparation(noise(0, (400, 400)))[None]
    with torch.inference_mode():
        maps = net.features[:2](extractor.normalize(batch))  # (1, 96, 96, 96)  channels last
    np.testing.assert_allclose(extractor.encode(batch)[0], maps.reshape(-1, 96), atol=1e-3)
    inner = Backbone("swin_t", layer="features.0.0", **how)
    with torch.inference_mode():
        maps = net.features[0][0](extractor.normalize(batch))  # a convolution: channels first
    np.testing.assert_allclose(inner.encode(batch)[0], maps[0].flatten(1).T, atol=1e-3)


def test_of_clip_networks_those_that_classify_lose_their_classifier():
    import timm

    labels = {1000, 11821, 21841, 21843}
    seen = set()
    for name in {*timm.list_models("*clip*"), *timm.list_models("*clip*", pretrained=True)}:
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.num_classes:
            assert _projects(name, config) == (config.num_classes not in labels), name
            seen.add(config.num_classes in labels)
    assert seen == {True, False}
    name = "convnext_base.clip_laiona_augreg_ft_in1k_384"
    assert _projects(name, timm.get_pretrained_cfg(name)) is False


def test_a_vector_has_nothing_to_pool():
    with pytest.raises(ConfigError, match="nothing to pool"):
        Backbone("alexnet", weights="random", layer="classifier.1", pool="max")


def test_another_input_size_is_taken_where_the_network_can():
    assert Backbone("resnet18", weights="random", pool="regions", input_size=448).shape == (196, 512)
    vit = Backbone("test_vit", weights="random", pool="regions", input_size=64)
    assert vit.preparation(noise(0)).shape == (64, 64, 3)
    assert vit.shape == (16, 64)  # patches of 16 pixels
    with pytest.raises(FeaturesError, match="does not take pictures of 100 x 100"):
        Backbone("vit_b_32", weights="random", input_size=100)


def test_bfloat16_is_used_only_where_vectors_hardly_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visrec.features.backbones.has_bfloat16", lambda device: True)
    exact = Backbone("squeezenet1_1", weights="random", precision="float32")
    fast = Backbone("squeezenet1_1", weights="random")
    assert (exact.precision, fast.precision) == ("float32", "bfloat16")
    batch = np.stack([exact.preparation(noise(seed)) for seed in range(4)])
    a, b = exact.encode(batch), fast.encode(batch)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.999
    assert not np.array_equal(a, b)
    for bar in ("LEAST_COSINE", "LEAST_CENTRED_COSINE"):
        with monkeypatch.context() as higher:
            higher.setattr(f"visrec.features.backbones.{bar}", 1.1)
            stayed = Backbone("squeezenet1_1", weights="random")
        assert stayed.precision == "float32"
        assert np.array_equal(stayed.encode(batch), a)
    forced = Backbone("squeezenet1_1", weights="random", precision="bfloat16")
    assert np.array_equal(forced.encode(batch), b)


def test_vectors_that_have_most_in_common_are_judged_by_the_rest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visrec.features.backbones.has_bfloat16", lambda device: True)
    given = Backbone._vectors

    def shifted(self: Backbone, piece: np.ndarray) -> np.ndarray:
        vectors = given(self, piece)
        if self._dtype is torch.float32:
            return vectors + 1e4
        return vectors + 1e4 + np.random.default_rng(0).normal(size=vectors.shape)  # far below .001 of a turn

    monkeypatch.setattr(Backbone, "_vectors", shifted)
    assert Backbone("squeezenet1_1", weights="random").precision == "float32"


def test_without_the_hardware_auto_means_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False, raising=False)
    assert not has_bfloat16("cpu")
    assert Backbone("squeezenet1_1", weights="random").provenance()["precision"] == "float32"


def test_threads_of_the_extractor_leave_torchs_own_setting_alone():
    before = torch.get_num_threads()
    extractor = Backbone("test_vit", weights="random", device="cpu")
    extractor.encode(extractor.preparation(noise(0))[None])
    assert torch.get_num_threads() == before
    pool = extractor.lanes._pool
    assert {pool.submit(torch.get_num_threads).result() for _ in range(4)} == {1}
