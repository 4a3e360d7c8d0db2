"""CuratorNet in the tutorial's variant, against numbers of the tutorial's own implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.models.curatornet import CuratorNet
from visrec.recommender import Queries, load_model

OURS = {
    "selu_common1": "item_tower.0",
    "selu_common2": "item_tower.2",
    "selu_pu1": "query_tower.0",  # reads [max, mean]
    "selu_pu2": "query_tower.2",
    "selu_pu3": "query_tower.4",
}


@pytest.fixture(scope="module")
def reference(shared):
    return dict(np.load(shared("reference/parity/curatornet.npz"), allow_pickle=False))


@pytest.fixture
def model(reference):
    """Our class with the reference's parameters, through `fit` and its own names; users took the profiles."""
    f, profiles = reference["param/embedding.weight"], reference["profiles"]
    users, items = IdMap(range(len(profiles)), kind="user"), IdMap(range(len(f)), kind="item")
    user = np.repeat(np.arange(len(profiles)), profiles.shape[1])
    train = Interactions(
        user, profiles.ravel(), np.arange(len(user)), np.ones(len(user)), users=users, items=items
    )
    model = CuratorNet(variant="tutorial", epochs=0).fit(train, Features.from_array(f, items.values))
    with torch.no_grad():
        for theirs, ours in OURS.items():
            for kind in ("weight", "bias"):
                model.get_parameter(f"{ours}.{kind}").copy_(
                    torch.from_numpy(reference[f"param/{theirs}.{kind}"])
                )
    model.refresh()
    return model


def _close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_all_scores_are_reproduced(model, reference):
    _close(model.score(model.users.values.to_list()), reference["scores"])


def test_the_score_differences_of_triples_are_reproduced_as_in_training(model, reference):
    pos, neg = (torch.from_numpy(reference[name]) for name in ("positives", "negatives"))
    with torch.no_grad():
        Q, Z = model.encode_batch(Queries.of(list(reference["profiles"])), torch.cat([pos, neg]))
    d_Z = Z[: len(pos)] - Z[len(pos) :]
    _close((Q * d_Z).sum(1), reference["x_uij"])


def test_a_saved_model_still_reproduces_them(model, reference, tmp_path):
    model.save(tmp_path / "model")
    _close(load_model(tmp_path / "model").score(model.users.values.to_list()), reference["scores"])
