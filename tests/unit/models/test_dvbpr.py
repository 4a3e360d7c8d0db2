from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import visrec
from visrec.content import Content
from visrec.errors import ConfigError, FeaturesError
from visrec.features.features import Features
from visrec.features.handcrafted.reducing import squeezed
from visrec.models.dvbpr import DVBPR
from visrec.recommender import load_model
from visrec.training import pixel_network
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

SMALL = {
    "dim_theta": 3,
    "dim_fc": 32,
    "channels": (8, 8, 8, 8, 8),
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "precision": "float32",
}
TINY = "timm:test_resnet"  # half a million parameters, with batch normalisation
OF_LIBRARY = {**{key: SMALL[key] for key in SMALL if key not in ("dim_fc", "channels")}, "backbone": TINY}


class InterruptedByTestError(Exception):
    """What a test throws into the training."""


@pytest.fixture
def train(interactions):
    """Item 6 nobody took; user 3 took nothing."""
    return interactions([(0, 0), (0, 1), (1, 2), (2, 3), (2, 0), (1, 4), (2, 5)], 4, 7)


@pytest.fixture
def pixels(train):
    """Item 1 has no picture."""
    values = np.random.default_rng(0).integers(0, 256, size=(7, 16, 16, 3), dtype=np.uint8)
    return Features.from_array(values, train.items.values, missing=np.arange(7) == 1)


def _trainer(model, train) -> Trainer:
    return Trainer(model.train(), UniformSampler(train), None, fingerprint="")


# ---- the score -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim_gamma", "bias"), [(0, False), (5, False), (0, True), (5, True)])
def test_the_score_is_theta_times_what_the_network_sees(train, pixels, dim_gamma, bias):
    model = DVBPR(**SMALL, dim_gamma=dim_gamma, bias=bias).fit(train, pixels)
    assert model.beta_i.shape == (7, int(bias))
    if bias:
        assert model.beta_i[[0, 2, 3, 4, 5]].abs().min() > 0
        assert model.beta_i[6] == 0  # nobody took it
    scores = model.score(train.users.values.to_list())
    theta_u, gamma_u, gamma_i = (
        table.detach().double().numpy() for table in (model.theta_u, model.gamma_u, model.gamma_i)
    )
    for i in range(7):
        phi = np.zeros(3)  # no picture: no word for or against it
        if i != 1:
            picture = torch.tensor(pixels.values[i].transpose(2, 0, 1).astype(np.float32)[None])
            phi = model.phi.net((picture - 127.5) / 127.5).detach().double().numpy()[0]
            assert phi.any()
        for u in range(4):
            expected = sum(theta_u[u, k] * phi[k] for k in range(3))
            expected += sum(gamma_u[u, k] * gamma_i[i, k] for k in range(dim_gamma))
            expected += model.beta_i[i].item() if bias else 0
            assert scores[u, i] == pytest.approx(expected, abs=1e-5)


def test_the_penalty_is_the_papers_divided_by_the_batch(train, pixels, penalty):
    settings = {**SMALL, "batch_size": 3, "reg_W": 0.5, "reg_theta": 0.3, "reg_gamma": 0.7}
    model = DVBPR(**settings, dim_gamma=5, bias=True).fit(train, pixels)
    theta_u, gamma_u, gamma_i = (
        table.detach().double().numpy() for table in (model.theta_u, model.gamma_u, model.gamma_i)
    )
    user, pos, neg = [0, 2, 2], [0, 3, 5], [4, 4, 1]
    total = 0.0  # beside the sum of -ln sigmoid over the batch
    for u, i, j in zip(user, pos, neg, strict=True):
        total += 0.3 / 2 * sum(theta**2 for theta in theta_u[u])
        total += 0.7 / 2 * sum(sum(x**2 for x in row) for row in (gamma_u[u], gamma_i[i], gamma_i[j]))
        total += 0.7 / 2 * sum(model.beta_i[item].item() ** 2 for item in (i, j))
    for layer in (*model.phi.net.convs, *model.phi.net.fcs):
        total += 0.5 / 2 * sum(w**2 for w in layer.weight.detach().double().flatten().tolist())
    triples = Triples(np.array(user), np.array(pos), np.array(neg)[:, None], np.ones(3, dtype=np.float32))
    assert penalty(model, triples) == pytest.approx(total / 3, rel=1e-5)


def test_weights_that_do_not_learn_are_not_penalised(train, pixels):
    model = DVBPR(**{**SMALL, "batch_size": 1}, trained="head", reg_W=2.0, reg_theta=0).fit(train, pixels)
    learnt = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    head = model.phi.net.fcs[-1].weight
    penalised = {name for name in model.l2().shared if name in learnt}
    assert [model.get_parameter(name) is head for name in penalised] == [True]


def test_items_without_a_picture_are_scored_by_gamma_alone(train, pixels):
    assert (DVBPR(**SMALL).fit(train, pixels).Z[1] == 0).all()
    model = DVBPR(**SMALL, dim_gamma=5).fit(train, pixels)
    assert (model.Z[1, 5:] == 0).all()
    assert torch.equal(model.Z[1, :5], model.gamma_i[1])


def test_the_bias_says_nothing_about_what_is_alike(train, pixels):
    model = DVBPR(**SMALL, bias=True).fit(train, pixels)
    before = model.similar_items([train.items.values[0]], 3)
    with torch.no_grad():
        model.beta_i += torch.arange(7.0)[:, None]
        model.Z[:, -1] += torch.arange(7.0)
    assert model.similar_items([train.items.values[0]], 3).equals(before)


def test_a_network_that_sees_nothing_is_told(train, pixels, monkeypatch, caplog):
    assert DVBPR(**SMALL).fit(train, pixels).notes == ()
    initialize = DVBPR.initialize

    def dead(self, generator):
        initialize(self, generator)
        for layer in self.phi.net.fcs[:-1]:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.constant_(layer.bias, -1.0)

    monkeypatch.setattr(DVBPR, "initialize", dead)
    model = DVBPR(**SMALL).fit(train, pixels)
    assert model.Z[[0, 2, 3, 4, 5, 6]].std(0).max() < 1e-6
    assert "sees nothing" in model.notes[0]
    assert "lower learning_rate" in caplog.text


# ---- what it learns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["cnn-f", TINY])
def test_it_learns_from_raw_pixels_which_colour_a_user_likes(interactions, backbone):
    """30 red and 30 blue pictures; users take 5 of one colour among the first 40. The rest nobody took."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 120, size=(60, 32, 32, 3), dtype=np.uint8)
    values[0::2, :, :, 0] += 120
    values[1::2, :, :, 2] += 120
    pairs = [(u, int(i)) for u in range(20) for i in rng.choice(np.arange(u % 2, 40, 2), 5, replace=False)]
    train = interactions(pairs, 20, 60)
    given = SMALL if backbone == "cnn-f" else OF_LIBRARY
    settings = {**given, "epochs": 15, "batch_size": 20, "learning_rate": 3e-3}
    if backbone == "cnn-f":
        settings |= {"dim_fc": 64, "channels": (8, 16, 16, 16, 16)}
    else:
        settings |= {"epochs": 5}  # batch normalisation makes it learn much sooner
    model = DVBPR(**settings).fit(train, Features.from_array(values, train.items.values))
    scores = model.score(train.users.values.to_list())
    for u in range(20):
        own, other = scores[u, 40 + u % 2 :: 2], scores[u, 41 - u % 2 :: 2]
        assert own.min() > other.max(), u


def test_the_gradient_reaches_the_first_convolution_and_only_the_users_of_the_batch(train, pixels, gradients):
    model = DVBPR(**{**SMALL, "epochs": 0}, reg_W=0, reg_theta=0).fit(train, pixels)
    triples = Triples(np.array([2]), np.array([3]), np.array([[4]]), np.ones(1, dtype=np.float32))
    torch.manual_seed(0)
    of = gradients(_trainer(model, train), triples)
    assert of["theta_u"].abs().sum(1).nonzero().flatten().tolist() == [2]
    for name in of:
        assert (of[name] != 0).any() or not name.startswith("phi.") or not name.endswith("weight"), name


def test_frozen_parts_do_not_change_and_the_others_do(train, pixels):
    start = DVBPR(**{**SMALL, "epochs": 0}, trained=2).fit(train, pixels).state()
    end = DVBPR(**SMALL, trained=2).fit(train, pixels).state()
    for name in start:
        learns = name.startswith(("phi.net.fcs.1", "phi.net.fcs.2", "theta", "Z"))
        empty = start[name].numel() == 0
        assert torch.equal(start[name], end[name]) != learns or empty, name


def test_only_pictures_that_learn_nothing_leave_a_step_possible(train, pixels):
    blank = Features.from_array(pixels.values, train.items.values, missing=np.ones(7, dtype=bool))
    scores = DVBPR(**SMALL).fit(train, blank).score(["u00", "u01"])
    assert (scores == 0).all()


# ---- pictures go through once, and few at a time ---------------------------------------------------------


def _counted(model) -> list[int]:
    """How many pictures each call of the network gets."""
    counts: list[int] = []
    model.phi.register_forward_pre_hook(lambda module, args: counts.append(len(args[0])))
    return counts


def test_each_picture_of_a_batch_goes_through_the_network_once(train, pixels):
    model = DVBPR(**SMALL).fit(train, pixels)
    counts = _counted(model)
    user, pos = np.array([0, 0, 2, 2, 2]), np.array([0, 0, 3, 5, 3])
    neg = np.array([[4, 4], [4, 2], [4, 1], [2, 4], [2, 2]])
    _trainer(model, train).step(Triples(user, pos, neg, np.ones(5, dtype=np.float32)))
    assert counts == [5]  # 0, 2, 3, 4 and 5; item 1 has no picture


def test_only_the_pictures_of_a_batch_are_read(train, pixels):
    model = DVBPR(**SMALL).fit(train, pixels)
    read = []

    class Rows:
        def __getitem__(self, rows):
            read.extend(rows.tolist())
            return pixels.values[rows]

    model.pixels = SimpleNamespace(values=Rows(), missing=pixels.missing)
    _trainer(model, train).step(
        Triples(np.array([0, 2]), np.array([0, 3]), np.array([[4], [4]]), np.ones(2, dtype=np.float32))
    )
    assert sorted(read) == [0, 3, 4]


def test_a_whole_catalogue_is_encoded_a_few_pictures_at_a_time(interactions):
    train = interactions([(0, i) for i in range(100)] + [(1, 200)], 2, 210)
    values = np.random.default_rng(0).integers(0, 256, size=(210, 16, 16, 3), dtype=np.uint8)
    model = DVBPR(**{**SMALL, "epochs": 0}).fit(train, Features.from_array(values, train.items.values))
    counts = _counted(model)
    model.refresh()
    assert counts == [64, 64, 64, 18]
    whole = model.phi(torch.from_numpy(values)).detach()
    torch.testing.assert_close(model.Z, whole, rtol=1e-4, atol=1e-6)


# ---- errors of the tutorial ------------------------------------------------------------------------------


def _folder_in_another_order(root) -> list[str]:
    """A data set whose images the file system lists in another order than the items have; pictures of many modes."""
    (root / "images").mkdir(parents=True)
    ids = [f"p{n:02d}" for n in range(12)]
    order = np.random.default_rng(1).permutation(12)
    for n in order:
        rng = np.random.default_rng(int(n))
        blocks = rng.integers(0, 256, size=(2, 2, 3), dtype=np.uint8).repeat(20, axis=0).repeat(28, axis=1)
        picture = Image.fromarray(blocks).convert(["RGB", "L", "P", "RGBA"][n % 4])
        picture.save(root / "images" / f"{ids[n]}.png")
    # Should the file system keep names sorted, the order in which the images are named is still another.
    rows = "".join(f"{ids[n]},images/{ids[n]}.png\n" for n in order)
    (root / "images.csv").write_text("item_id,path\n" + rows)
    lines = [f"u{n % 3},{ids[i]},{t}\n" for t, (n, i) in enumerate((n, (n * 5) % 12) for n in range(9))]
    (root / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "".join(lines))
    return ids


def test_tutorial_error_2_each_item_has_the_vector_of_its_own_picture(tmp_path):
    ids = _folder_in_another_order(tmp_path)
    rows = (tmp_path / "images.csv").read_text().split()[1:]
    assert [row.partition(",")[0] for row in rows] != sorted(ids)
    data = visrec.load_dataset(tmp_path)
    pixels = visrec.extract(data.catalog, "pixels", size=16)
    model = DVBPR(**SMALL).fit(data.interactions, pixels)
    assert len(model.items) == 12
    # The tutorial: row n is the n-th picture that the folder lists, and is added to the factors of item n.
    theirs = model.Z[torch.from_numpy(model.items.indices([row.partition(",")[0] for row in rows]))]
    for item in ids:
        with Image.open(tmp_path / "images" / f"{item}.png") as image:
            own = model.phi(torch.from_numpy(squeezed(image.convert("RGB"), 16))[None]).detach()[0]  # (K,)
        distance = (model.Z - own).norm(dim=1)
        assert distance.argmin() == model.items.index(item)
        assert distance.min() < 0.01 * distance.sort().values[1]
    wrong = (theirs - model.Z).norm(dim=1) > 0.01 * model.Z.norm(dim=1)
    assert wrong.sum() == sum(
        row.partition(",")[0] != item for row, item in zip(rows, sorted(ids), strict=True)
    )
    assert wrong.any()


def test_tutorial_error_12_grey_and_coloured_pictures_are_all_resized_rgb(tmp_path):
    _folder_in_another_order(tmp_path)
    data = visrec.load_dataset(tmp_path)
    pixels = visrec.extract(data.catalog, "pixels", size=16)
    assert pixels.values.shape == (12, 16, 16, 3)
    assert pixels.values.dtype == np.uint8
    grey = pixels.values[data.catalog.items.index("p01")]  # of mode L: three equal channels
    assert (grey == grey[:, :, :1]).all()


def test_tutorial_error_12_nothing_is_dropped_in_ranking(train, pixels):
    model = DVBPR(**SMALL).fit(train, pixels)
    assert not any(module.training for module in model.modules())
    first = model.Z.clone()
    model.refresh()
    assert torch.equal(first, model.Z)


@pytest.mark.parametrize("backbone", ["resnet18", TINY])
def test_tutorial_error_13_a_last_batch_of_one_picture_does_not_crash(interactions, backbone):
    train = interactions([(0, 0), (1, 1), (0, 2)], 2, 4)  # batches of two and of one
    values = np.random.default_rng(0).integers(0, 256, size=(4, 32, 32, 3), dtype=np.uint8)
    pixels = Features.from_array(values, train.items.values, missing=np.array([False, True, True, True]))
    settings = {**OF_LIBRARY, "backbone": backbone, "batch_size": 2, "epochs": 2}
    scores = DVBPR(**settings).fit(train, pixels).score(["u00", "u01"])
    assert np.isfinite(scores).all()


# ---- going on, keeping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [SMALL, OF_LIBRARY], ids=["dropout", "batch normalisation"])
def test_an_interrupted_training_goes_on_bit_for_bit(interactions, train, settings, tmp_path):
    valid = interactions([(0, 4), (1, 0)], 4, 7)
    values = np.random.default_rng(0).integers(0, 256, size=(7, 32, 32, 3), dtype=np.uint8)
    pixels = Features.from_array(values, train.items.values)

    def stop(epoch, epochs, note):
        if epoch == 1:
            raise InterruptedByTestError

    undisturbed = DVBPR(**settings).fit(train, pixels, valid=valid)
    with pytest.raises(InterruptedByTestError):
        DVBPR(**settings).fit(train, pixels, valid=valid, checkpoint=tmp_path / "c", progress=stop)
    resumed = DVBPR(**settings).fit(train, pixels, valid=valid, checkpoint=tmp_path / "c")
    assert resumed.digest == undisturbed.digest


def test_running_statistics_are_kept_and_restored(train, pixels, tmp_path):
    model = DVBPR(**OF_LIBRARY).fit(train, pixels)
    statistics = {name: value for name, value in model.state().items() if "running_" in name}
    assert statistics
    start = DVBPR(**{**OF_LIBRARY, "epochs": 0}).fit(train, pixels).state()
    assert all(not torch.equal(start[name], value) for name, value in statistics.items())
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", pixels)
    with torch.no_grad():
        assert torch.equal(loaded.encode_items(torch.arange(7)), model.Z)


def test_a_model_is_loaded_without_asking_for_published_weights(train, pixels, tmp_path, monkeypatch):
    build, asked = pixel_network.build, []

    def offline(source, name, weights, **settings):
        asked.append(weights)
        return build(source, name, "random", **{**settings, "seed": 5})

    monkeypatch.setattr(pixel_network, "build", offline)
    model = DVBPR(**OF_LIBRARY, weights="default").fit(train, pixels)
    assert "default" in asked
    model.save(tmp_path / "model")
    asked.clear()
    loaded = load_model(tmp_path / "model", pixels)
    assert asked == ["random"]
    with torch.no_grad():
        assert torch.equal(loaded.encode_items(torch.arange(7)), model.Z)


def test_weights_of_a_file_that_is_gone_are_not_missed(train, pixels, tmp_path):
    given = DVBPR(**SMALL).fit(train, pixels)
    file = tmp_path / "weights.pt"
    torch.save(given.phi.net.state_dict(), file)
    model = DVBPR(**{**SMALL, "epochs": 0}, weights=str(file), seed=4).fit(train, pixels)
    torch.testing.assert_close(model.Z, given.Z)
    model.save(tmp_path / "model")
    os.remove(file)  # noqa: PTH107
    assert load_model(tmp_path / "model").score(["u00"]).shape == (1, 7)


def _write_weights(file, seed: int) -> None:
    torch.manual_seed(seed)
    network = pixel_network.PixelNetwork("cnn-f", 16, 3, dim_fc=32, channels=(8, 8, 8, 8, 8))
    torch.save(network.net.state_dict(), file)


def test_a_training_from_a_file_of_weights_that_changed_starts_afresh(train, pixels, tmp_path):
    def stop(epoch, epochs, note):
        if epoch == 1:
            raise InterruptedByTestError

    file = tmp_path / "weights.pt"
    settings = {**SMALL, "weights": str(file)}
    _write_weights(file, 1)
    first = DVBPR(**settings).fit(train, pixels)
    with pytest.raises(InterruptedByTestError):
        DVBPR(**settings).fit(train, pixels, checkpoint=tmp_path / "c", progress=stop)
    _write_weights(file, 2)
    expected = DVBPR(**settings).fit(train, pixels)
    assert expected.digest != first.digest
    assert DVBPR(**settings).fit(train, pixels, checkpoint=tmp_path / "c").digest == expected.digest


def test_the_content_of_a_file_of_weights_decides_whether_a_run_trains_again(pixels, tmp_path):
    file = tmp_path / "weights.pt"
    model, content = DVBPR(**SMALL, weights=str(file)), Content(image=pixels)
    with pytest.raises(FeaturesError, match="no such file of weights"):
        model.content_digests(content)
    digests = []
    for seed in (1, 2, 1):
        _write_weights(file, seed)
        digests.append(model.content_digests(content))
    assert digests[0] == digests[2] != digests[1]
    for weights in ("random", "default"):
        assert DVBPR(**SMALL, weights=weights).content_digests(content) == {"features": pixels.digest}


def test_a_model_loaded_without_pictures_ranks_and_says_what_encoding_needs(train, pixels, tmp_path):
    model = DVBPR(**SMALL).fit(train, pixels)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_allclose(loaded.score(["u00"]), model.score(["u00"]), rtol=1e-6)
    with pytest.raises(FeaturesError, match=r"load_model\(path, pixels\)"):
        loaded.encode_items(torch.tensor([0]))


# ---- settings --------------------------------------------------------------------------------------------


def test_the_papers_settings_are_the_default_but_for_the_learning_rate():
    config = DVBPR().config
    assert (config.backbone, config.dim_theta, config.dim_gamma, config.dim_fc) == ("cnn-f", 100, 0, 4096)
    assert (config.reg_W, config.reg_theta, config.batch_size, config.epochs) == (1e-3, 1.0, 128, 20)
    assert config.learning_rate == 1e-3


def test_theta_starts_between_0_and_a_hundredth(train, pixels):
    model = DVBPR(**{**SMALL, "epochs": 0, "dim_theta": 200}).fit(train, pixels)
    values = model.theta_u.detach()[:3]  # without the user who took nothing
    assert 0 <= values.min() < 0.001
    assert 0.009 < values.max() <= 0.01


def test_the_tutorials_settings_yield_to_those_given_by_hand():
    config = DVBPR(variant="tutorial", dim_theta=7).config
    assert (config.backbone, config.dim_gamma, config.dim_theta) == ("alexnet", 100, 7)
    assert (config.learning_rate, config.epochs, config.reg_W, config.reg_theta) == (1e-3, 5, 0, 0)
    assert config.weight_decay * config.batch_size == pytest.approx(1e-4)
    assert config.negatives == "catalog"


def test_the_tutorials_tables_start_uniform_between_0_and_1(train, pixels):
    small = {key: SMALL[key] for key in ("dim_fc", "channels", "precision")}
    model = DVBPR(variant="tutorial", backbone="cnn-f", epochs=0, **small).fit(train, pixels)
    for table in (model.theta_u[:3], model.gamma_u[:3], model.gamma_i):
        assert 0 <= table.min() < 0.1
        assert 0.9 < table.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "alexnet", "dim_fc": 10}, "those of CNN-F; alexnet has its own"),
        ({"channels": (1, 2, 3)}, "channels"),
        ({"trained": 0}, "trained"),
        ({"trained": "some"}, "trained"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DVBPR(**settings)


def test_a_network_that_does_not_exist_is_refused_in_fitting(train, pixels):
    with pytest.raises(ConfigError, match="resnet18"):
        DVBPR(backbone="resnet19").fit(train, pixels)


def test_the_narrow_network_that_the_documents_advise_is_as_small_as_they_say():
    def weights(side: int, **settings) -> int:
        return sum(
            one.numel() for one in pixel_network.PixelNetwork("cnn-f", side, 100, **settings).parameters()
        )

    assert round(weights(96) / 1e6) == 29
    assert round(weights(64, dim_fc=256, channels=(32, 64, 64, 64, 64)) / 1e3) == 331
