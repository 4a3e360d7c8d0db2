"""The tutorial's own numbers, through `convert_tutorial`, from files in its formats."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tutorial_files import parameters, write_checkpoint, write_csv, write_embedding

from visrec.converting.tutorial import convert_tutorial
from visrec.features.features import Features
from visrec.recommender import load_model


def _ids(n: int, seed: int) -> list[int]:
    """Ids whose order as numbers is not their order in the file, nor as text."""
    return (10 * np.random.default_rng(seed).permutation(np.arange(3, 3 + n))).tolist()


@pytest.fixture
def vbpr(shared):
    return dict(np.load(shared("reference/parity/vbpr.npz"), allow_pickle=False))


def test_vbpr_has_the_tutorials_scores(vbpr, tmp_path):
    source, data = tmp_path / "tutorial", tmp_path / "data"
    scores, features = vbpr["scores"], vbpr["param/features.weight"]
    n_users, n_items = scores.shape
    items, users = _ids(n_items, 0), sorted(_ids(n_users, 1))
    write_embedding(source / "data" / "embedding-resnet50.npy", [f"{i}.jpg" for i in items], features)
    rows = [(user, items[(3 * n + k) % n_items], 100 + k) for n, user in enumerate(users) for k in range(3)]
    write_csv(source / "data" / "wikimedia.csv", "user_id,item_id,timestamp", rows)
    write_checkpoint(source / "checkpoints" / "VBPR_wikimedia.tar", parameters(vbpr))

    convert_tutorial(source, data)

    model = load_model(data / "models" / "VBPR_wikimedia", Features.load(data / "features" / "resnet50"))
    found = model.score([str(user) for user in users], [str(item) for item in items])
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-6)
    assert model.config.variant == "tutorial"
