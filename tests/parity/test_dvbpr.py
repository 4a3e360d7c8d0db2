"""DVBPR in the tutorial's variant with its CNN-F, against numbers of the tutorial's own implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.models.dvbpr import DVBPR
from visrec.recommender import load_model

IMAGES = "images_28px_uint8_repeat_each_pixel_8x8_then_div_255"


@pytest.fixture(scope="module")
def reference(shared):
    return dict(np.load(shared("reference/parity/dvbpr_cnnf.npz"), allow_pickle=False))


@pytest.fixture(scope="module")
def pixels(reference):
    images = reference[IMAGES].transpose(0, 2, 3, 1).repeat(8, axis=1).repeat(8, axis=2)  # (I, 224, 224, 3)
    return Features.from_array(images, range(len(images)))


@pytest.fixture(scope="module")
def model(reference, pixels):
    """Our class with the reference's parameters, through `fit` and its own names."""
    param = {name.removeprefix("param/"): v for name, v in reference.items() if name.startswith("param/")}
    users = IdMap(range(len(param["theta_users.weight"])), kind="user")
    triples = reference["users"], reference["positives"], np.arange(3), np.ones(3)
    train = Interactions(*triples, users=users, items=pixels.items)
    model = DVBPR(
        variant="tutorial",
        backbone="cnn-f-tutorial",
        channels=[len(param[f"cnn.convs.{n}.bias"]) for n in range(5)],
        dim_fc=len(param["cnn.fcs.0.bias"]),
        dim_theta=param["theta_users.weight"].shape[1],
        precision="float32",
        epochs=0,
    ).fit(train, pixels)
    ours = {"theta_users.weight": "theta_u", "gamma_users.weight": "gamma_u", "gamma_items.weight": "gamma_i"}
    with torch.no_grad():
        for theirs, value in param.items():
            name = ours.get(theirs, theirs.replace("cnn.", "phi.net."))
            model.get_parameter(name).copy_(torch.from_numpy(value))
    model.refresh()
    return model


def test_the_vectors_of_the_pictures_are_reproduced(model, reference):
    visual = model.Z[:, model.config.dim_gamma :].numpy()
    np.testing.assert_allclose(visual, reference["visual"][:, 0], rtol=1e-4, atol=1e-6)
    assert (reference["visual"] == 0).any()  # the ReLU on the output is in use


def test_all_scores_are_reproduced(model, reference):
    scores = model.score(model.users.values.to_list())
    np.testing.assert_allclose(scores, reference["scores"], rtol=1e-4)


@pytest.mark.parametrize(("items", "expected"), [("positives", "x_ui"), ("negatives", "x_uj")])
def test_the_scores_of_triples_are_reproduced(model, reference, items, expected):
    users, items = (torch.from_numpy(reference[name]) for name in ("users", items))
    with torch.no_grad():
        found = (model.encode_users(users) * model.encode_items(items)).sum(1)
    np.testing.assert_allclose(found, reference[expected], rtol=1e-4)


def test_a_saved_model_still_reproduces_them(model, reference, tmp_path):
    model.save(tmp_path / "model")
    scores = load_model(tmp_path / "model").score(model.users.values.to_list())
    np.testing.assert_allclose(scores, reference["scores"], rtol=1e-4)
