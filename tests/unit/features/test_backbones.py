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
from visrec.features.backbones import Backbone, backbone_names, resolve_backbone
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
        ("keras:resnet50", r"no source 'keras'.*timm: or torchvision:"),
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
    extractor = Backbone("squeezenet1_0", weights=weights)
    net = models.squeezenet1_0()
    net.load_state_dict(torch.load(shared("weights/squeezenet1_0.pth"), weights_only=True))
    net.eval()
    for name, label in (("parrot", "macaw"), ("hot_dog", "hotdog, hot dog, red hot")):
        batch = extractor.prepare(decode(shared(f"weights/photos/{name}.jpg")))[None]
        with torch.inference_mode():
            maps = net.features(extractor.normalize(batch))  # (1, 512, 13, 13)
            scores = net.classifier(maps).flatten()
        assert labels[int(scores.argmax())] == label
        np.testing.assert_allclose(extractor.encode(batch)[0], maps.mean(dim=(2, 3))[0], rtol=1e-4, atol=1e-5)


def test_the_same_weights_in_another_container_are_the_same(shared: Shared):
    one = Backbone("squeezenet1_0", weights=shared("weights/squeezenet1_0.safetensors"))
    other = Backbone("torchvision:squeezenet1_0", weights=str(shared("weights/squeezenet1_0.pth")))
    assert one.name == other.name == "squeezenet1_0"
    batch = np.stack([one.prepare(noise(0)), one.prepare(noise(1))])
    assert np.array_equal(one.encode(batch), other.encode(batch))
    about, again = one.provenance(), other.provenance()
    assert about["weights_digest"] == again["weights_digest"]
    assert (about["weights"], again["weights"]) == ("squeezenet1_0.safetensors", "squeezenet1_0.pth")
    assert about["transform"] == again["transform"]


@pytest.mark.parametrize("name", ["squeezenet1_1", "test_resnet", "test_vit"])
def test_a_batch_of_one_equals_a_batch_of_many(name: str):
    extractor = Backbone(name, weights="random")
    batch = np.stack([extractor.prepare(noise(seed)) for seed in range(5)])
    many = extractor.encode(batch)
    assert many.shape == (5, extractor.dim)
    assert many.dtype == np.float32
    ones = np.concatenate([extractor.encode(batch[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(many, ones, rtol=1e-5, atol=1e-5)
    assert np.array_equal(extractor.encode(batch), many)


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


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "vit_b_32", "efficientnet_b0", "inception_v3"])
def test_the_transform_is_torchvisions_own_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch):
    from torchvision import models

    # Only the transform is looked at: any small network will do.
    monkeypatch.setattr(
        models, "get_model", lambda *args, **kwargs: torch.nn.Sequential(torch.nn.Linear(1, 1))
    )
    extractor = Backbone(name, weights="random")
    for size in ((250, 180), (100, 300), (8, 9)):
        image = noise(0, size)
        expected = models.get_model_weights(name).DEFAULT.transforms()(image)
        got = extractor.normalize(extractor.prepare(image)[None])[0]
        assert torch.equal(got, expected)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_the_transform_is_timms_own_to_the_bit(name: str):
    import timm
    from timm.data import create_transform, resolve_model_data_config

    extractor = Backbone(name, weights="random")
    own = create_transform(**resolve_model_data_config(timm.create_model(name)), is_training=False)
    assert torch.equal(extractor.normalize(extractor.prepare(noise(0))[None])[0], own(noise(0)))


def test_a_strip_of_pixels_takes_no_more_memory_than_a_picture():
    extractor = Backbone("squeezenet1_1", weights="random")
    for size in ((1, 20_000), (20_000, 1), (3, 3000)):
        assert extractor.prepare(noise(0, size)).shape == (224, 224, 3)


def test_googlenet_and_inception_take_our_normalization_whatever_weights_they_have():
    # Their published weights want inputs in -1 … 1; torchvision switches the conversion on only with them.
    extractor = Backbone("googlenet", weights="random")
    assert extractor._net.transform_input is True
    assert extractor._net.aux1 is None
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


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path):
    def message(name: str) -> str:
        with pytest.raises(FeaturesError) as raised:
            Backbone("squeezenet1_1", weights=tmp_path / name)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "no such file of weights" in message("none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("<html>")
        assert "cannot be read as weights" in message(name)
    torch.save({"epoch": 3, "state_dict": squeezenet().state_dict()}, tmp_path / "checkpoint.pth")
    assert "the keys ['epoch', 'state_dict']; expected a state dict" in message("checkpoint.pth")
    torch.save([1], tmp_path / "list.pth")
    assert "a list; expected a state dict" in message("list.pth")
    torch.save(squeezenet(), tmp_path / "model.pth")  # a pickle, which may run anything: not read
    assert "cannot be read as weights" in message("model.pth")


def test_weights_that_cannot_be_downloaded_say_which_and_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    for name, where in (
        ("squeezenet1_0", "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth"),
        ("test_vit", "huggingface.co/timm/test_vit.r160_in1k"),
    ):
        with pytest.raises(FeaturesError, match=r"--weights FILE.*--weights random") as raised:
            Backbone(name)
        assert where in str(raised.value)
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
        ("alexnet", 4096),
        ("vgg16", 4096),
        ("resnet18", 512),
        ("resnet50", 2048),
        ("regnet_y_400mf", 440),
        ("googlenet", 1024),
        ("inception_v3", 2048),
        ("squeezenet1_0", 512),
        ("shufflenet_v2_x0_5", 1024),
        ("mobilenet_v2", 1280),
        ("mobilenet_v3_small", 1024),
        ("mnasnet1_0", 1280),
        ("densenet121", 1024),
        ("efficientnet_b0", 1280),
        ("convnext_tiny", 768),
        ("maxvit_t", 512),
        ("vit_b_16", 768),
        ("swin_t", 768),
        ("swin_v2_t", 768),
        ("timm:resnet26d", 2048),
        ("timm:vgg11", 4096),
        ("mobilenetv3_small_050", 1024),
        ("nasnetalarge", 4032),
        ("vit_tiny_patch16_224", 192),
        ("deit_tiny_distilled_patch16_224", 192),
        ("efficientformer_l1", 448),
    ],
)
def test_dim_of_each_family(name: str, dim: int):
    extractor = Backbone(name, weights="random")
    assert extractor.dim == dim
    assert extractor.encode(extractor.prepare(noise(0))[None]).shape == (1, dim)


def test_threads_of_the_extractor_leave_torchs_own_setting_alone():
    before = torch.get_num_threads()
    extractor = Backbone("test_vit", weights="random", device="cpu")
    extractor.encode(extractor.prepare(noise(0))[None])
    assert torch.get_num_threads() == before
    assert extractor._pool is not None
    assert {extractor._pool.submit(torch.get_num_threads).result() for _ in range(4)} == {1}
