"""Learning on a GPU: on a real one where there is one, else on a pretended one (tests/pretended_gpu.py)."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from tests.pretended_gpu import GPU, PretendedGpu

from visrec.data.splits import Split
from visrec.errors import ConfigError
from visrec.evaluation.protocol import evaluate
from visrec.features.features import Features
from visrec.models.acf import ACF
from visrec.models.bpr import BPR
from visrec.models.curatornet import CuratorNet
from visrec.models.dvbpr import DVBPR
from visrec.models.vbpr import VBPR
from visrec.recommender import load_model
from visrec.training.device import beside, device_to_learn_on, exact_products, room
from visrec.training.trainer import Trainer

HAS_GPU = torch.cuda.is_available()
SMALL = {"epochs": 2, "batch_size": 112, "learning_rate": 0.05, "optimizer": "adagrad"}
VECTORS = {**SMALL, "precision": "float32"}
PIXELS = {"dim_theta": 3, "dim_gamma": 2, "dim_fc": 16, "channels": (4, 4, 4, 4, 4), "learning_rate": 1e-3}
MODELS = {
    "bpr": (BPR, {**SMALL, "dim_gamma": 4}),
    "bpr, several negatives": (
        BPR,
        {**SMALL, "dim_gamma": 4, "n_negatives": 3, "loss": "warp", "optimizer": "adam"},
    ),
    "bpr, decay": (BPR, {**SMALL, "dim_gamma": 4, "optimizer": "adamw", "weight_decay": 0.1}),
    "vbpr": (VBPR, {**VECTORS, "dim_gamma": 4, "dim_theta": 3}),
    "vbpr, tutorial": (VBPR, {**VECTORS, "dim_gamma": 4, "dim_theta": 3, "variant": "tutorial"}),
    "curatornet": (CuratorNet, {**VECTORS, "dim": 4, "dim_hidden": 5}),
    "acf": (ACF, {**VECTORS, "dim_gamma": 4, "dim_attention": 3, "components": 4}),
    "acf, tutorial": (
        ACF,
        {**VECTORS, "dim_gamma": 4, "variant": "tutorial", "components": 4, "weight_decay": 0.0},
    ),
    "dvbpr": (DVBPR, {**VECTORS, **PIXELS, "bias": True, "optimizer": "sgd"}),
}


@pytest.fixture(
    params=[
        pytest.param("pretended", marks=pytest.mark.skipif(HAS_GPU, reason="there is a real one")),
        pytest.param("real", marks=pytest.mark.skipif(not HAS_GPU, reason="torch sees no GPU here")),
    ]
)
def gpu(request, monkeypatch):
    """`with gpu(): …`: a GPU is there."""

    @contextmanager
    def there(**about):
        with PretendedGpu(monkeypatch, **about) if request.param == "pretended" else nullcontext():
            yield

    return there


@pytest.fixture
def parts(two_tastes):
    """(train, valid): 16 users of two tastes, 24 items; item 23 nobody took."""
    return two_tastes(16, 24, 7, liked=23)


@pytest.fixture
def contents(parts):
    """By what is needed: vectors, regions and pictures that show the taste; item 3 has none."""
    rng, ids, missing = np.random.default_rng(1), parts[0].items.values, np.arange(24) == 3
    taste = np.arange(24)[:, None] % 2
    vectors = (rng.normal(size=(24, 6)) + 2 * taste).astype(np.float32)
    pixels = rng.integers(0, 128, size=(24, 16, 16, 3), dtype=np.uint8) + 100 * taste[..., None, None].astype(
        np.uint8
    )
    return {
        "none": None,
        "vector": Features.from_array(vectors, ids, missing=missing),
        "regions": Features.from_array(
            rng.normal(size=(24, 3, 6)) + 2 * taste[..., None], ids, missing=missing
        ),
        "image": Features.from_array(pixels, ids, missing=missing),
    }


def _places(model) -> set[str]:
    return {tensor.device.type for tensor in (*model.state().values(), model.Z)}


# ---- a whole fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if "tutorial" in name else name for name in MODELS],
)
def test_a_model_learns_on_a_gpu_what_it_learns_on_the_cpu(gpu, parts, contents, name, tmp_path):
    cls, settings = MODELS[name]
    (train, valid), content = parts, contents[cls.needs]
    expected = cls(**settings, device="cpu").fit(train, content, valid=valid)
    model, places = cls(**settings, device="auto"), []
    with gpu():
        model.fit(train, content, valid=valid, progress=lambda *_: places.append(model.device.type))
    assert set(places) == {"cuda"}
    assert _places(model) == {"cpu"}
    for line, wanted in zip(model.training_log, expected.training_log, strict=True):
        assert line["loss"] == pytest.approx(wanted["loss"], rel=1e-3)
        assert line["valid"] == pytest.approx(wanted["valid"], abs=0.03)
    users = train.users.values.to_list()
    assert (
        np.abs(model.score(users) - expected.score(users)).max() < 0.02 * np.abs(expected.score(users)).max()
    )
    model.save(tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model").score(users), model.score(users))


@pytest.mark.slow
def test_what_was_learnt_on_a_gpu_ranks_as_well(gpu, parts, contents):
    train, valid = parts
    split = Split(train, valid, valid)
    settings = {"dim_gamma": 4, "dim_theta": 4, "epochs": 10, "batch_size": 64, "learning_rate": 0.05}
    with gpu(bfloat16=True):
        model = VBPR(**settings, device="cuda").fit(train, contents["vector"])
    expected = VBPR(**settings).fit(train, contents["vector"])
    found, wanted = (evaluate(one, split, part="valid")["auc"] for one in (model, expected))
    assert wanted > 0.8  # chance is .5
    assert found == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("name", ["vbpr", "acf"])
def test_features_without_room_on_the_gpu_go_there_by_batches(gpu, parts, contents, name):
    cls, settings = MODELS[name]
    users = parts[0].users.values.to_list()
    scores = []
    for free in (1 << 30, 0):
        with gpu(free=free):
            scores.append(
                cls(**{**settings, "epochs": 1}, device="cuda")
                .fit(parts[0], contents[cls.needs])
                .score(users)
            )
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["vbpr", "acf"])
@pytest.mark.parametrize("first", ["cuda", "cpu"])
def test_a_run_goes_on_on_another_device(gpu, parts, contents, tmp_path, first, name):
    class StoppedByTestError(Exception):
        pass

    def stop(done, *_):
        if done == 1:
            raise StoppedByTestError

    cls, settings = MODELS[name]
    content = contents[cls.needs]
    given = {"valid": parts[1], "checkpoint": tmp_path / "checkpoint"}
    devices = [first, "cpu" if first == "cuda" else "cuda"]
    users = parts[0].users.values.to_list()
    expected = cls(**settings, device="cpu").fit(parts[0], content, valid=parts[1])
    with gpu():
        with pytest.raises(StoppedByTestError):
            cls(**settings, device=devices[0]).fit(parts[0], content, **given, progress=stop)
        epochs = []
        model = cls(**settings, device=devices[1])
        model.fit(parts[0], content, **given, progress=lambda done, *_: epochs.append(done))
    assert epochs[0] == 2
    np.testing.assert_allclose(model.score(users), expected.score(users), rtol=0.02, atol=1e-3)


@pytest.mark.skipif(not HAS_GPU, reason="torch sees no GPU here")
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith(("acf", "dvbpr"))])
def test_a_gpu_repeats_itself_bit_for_bit(parts, contents, name):
    cls, settings = MODELS[name]
    digests = {cls(**settings, device="cuda").fit(parts[0], contents[cls.needs]).digest for _ in range(2)}
    assert len(digests) == 1


# ---- where a model learns ------------------------------------------------------------------------------


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(monkeypatch, parts):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"torch .* sees no GPU here\. Set device='auto' or 'cpu'"):
        BPR(device="cuda").fit(parts[0])
    assert device_to_learn_on("auto", can=True, name="BPR").type == "cpu"


def test_a_model_that_is_not_made_for_a_gpu_says_so_and_learns_on_the_cpu_by_itself(monkeypatch, parts):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(BPR, "learns_on_gpu", False)
    with pytest.raises(ConfigError, match="BPR learns on the CPU alone"):
        BPR(device="cuda").fit(parts[0])
    assert BPR(epochs=1, device="auto").fit(parts[0]).device.type == "cpu"


def test_a_gpu_that_is_too_small_says_what_to_do(monkeypatch, parts):
    def full(self, **_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Trainer, "run", full)
    with pytest.raises(ConfigError, match=r"BPR .* memory of the GPU .*2\.00 GiB.* Set device='cpu'"):
        BPR(device="cpu").fit(parts[0])


def test_the_settings_of_products_are_the_process_own_again_afterwards():
    flags, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

    def now():
        return flags.deterministic, flags.allow_tf32, matmul.allow_bf16_reduced_precision_reduction

    before = now()
    with exact_products(GPU):
        assert now() == (True, False, False)
    assert now() == before
    with exact_products(torch.device("cpu")):
        assert now() == before


def test_on_the_cpu_nothing_is_copied():
    tensor, array = torch.zeros(3), np.zeros(3, dtype=np.float32)
    assert beside(tensor, torch.ones(1)) is tensor
    assert beside(array, torch.ones(1)).data_ptr() == array.ctypes.data


# ---- what the pretended one is worth -------------------------------------------------------------------


@pytest.mark.skipif(HAS_GPU, reason="there is a real one")
def test_the_pretended_gpu_refuses_what_a_real_one_would(monkeypatch):
    with PretendedGpu(monkeypatch, free=1000) as gpu:
        assert torch.cuda.is_available()
        assert room(GPU) == 500
        a, index = torch.arange(6.0).view(3, 2).to("cuda"), torch.tensor([0, 2])
        assert (a.device, a.is_cpu, a.is_cuda, index.is_cpu) == (GPU, False, True, True)
        for mixed in (
            lambda: a + torch.ones(3, 2),
            lambda: a.index_select(0, index),
            lambda: a @ torch.ones(2, 1),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="NumPy"):
            a.numpy()
        assert a[index].tolist() == [[0, 1], [4, 5]]  # which torch allows
        assert beside(index, a).device == GPU
        layer = torch.nn.Linear(2, 1)
        weight = layer.weight
        layer.to("cuda")
        assert layer.weight is weight
        (g,) = torch.autograd.grad(layer(a).sum(), [weight])
        assert g.device == GPU
        layer.to("cpu")
        assert weight.is_cpu
        assert g.cpu().tolist() == [[6, 9]]
        assert gpu.ran["aten.addmm.default"] == 1
    assert torch.cuda.is_available() == HAS_GPU
