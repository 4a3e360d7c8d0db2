"""The tutorial's own numbers, through `convert`, from files in its formats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tutorial_files import parameters, write_checkpoint, write_csv, write_embedding

from visrec.converting.conversion import convert
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

    convert("tutorial", source, data)

    model = load_model(data / "models" / "VBPR_wikimedia", Features.load(data / "features" / "resnet50"))
    found = model.score([str(user) for user in users], [str(item) for item in items])
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-6)
    assert model.config.variant == "tutorial"


def _pictures(folder, items, images) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for item, image in zip(items, images, strict=True):
        large = image.transpose(1, 2, 0).repeat(8, axis=0).repeat(8, axis=1)  # (224, 224, 3)
        Image.fromarray(large).save(folder / f"{item}.png")


def test_dvbpr_has_the_tutorials_scores(shared, tmp_path):
    dvbpr = dict(np.load(shared("reference/parity/dvbpr_cnnf.npz"), allow_pickle=False))
    source, data = tmp_path / "tutorial", tmp_path / "data"
    scores = dvbpr["scores"]
    n_users, n_items = scores.shape
    items, users = _ids(n_items, 2), sorted(_ids(n_users, 3))
    _pictures(source / "images", items, dvbpr["images_28px_uint8_repeat_each_pixel_8x8_then_div_255"])
    write_embedding(source / "embedding-resnet50.npy", [f"{i}.png" for i in items], np.ones((n_items, 3)))
    rows = [(user, items[(3 * n + k) % n_items], 100 + k) for n, user in enumerate(users) for k in range(3)]
    write_csv(source / "wikimedia.csv", "user_id,item_id,timestamp", rows)
    write_checkpoint(source / "DVBPR_wikimedia.tar", parameters(dvbpr))

    convert("tutorial", source, data)

    model = load_model(data / "models" / "DVBPR_wikimedia", Features.load(data / "features" / "pixels"))
    model.refresh()  # from the pixels again
    found = model.score([str(user) for user in users], [str(item) for item in items])
    np.testing.assert_allclose(found, scores, rtol=1e-4)


def test_curatornet_has_the_tutorials_scores(shared, tmp_path):
    reference = dict(np.load(shared("reference/parity/curatornet.npz"), allow_pickle=False))
    source, data = tmp_path / "tutorial", tmp_path / "data"
    scores, features = reference["scores"], reference["param/embedding.weight"]
    items = _ids(scores.shape[1], 4)
    write_embedding(source / "embedding-resnet50.npy", [f"{i}.jpg" for i in items], features)
    # Each profile is a user's history; the held-out item of each is not part of it.
    rows = [
        (user, items[i], t, t == 10)
        for user, (profile, positive) in enumerate(
            zip(reference["profiles"], reference["positives"], strict=True)
        )
        for t, i in [*enumerate(profile), (10, positive)]
    ]
    write_csv(source / "wikimedia.csv", "user_id,item_id,timestamp,evaluation", rows)
    write_checkpoint(source / "CuratorNet_wikimedia.tar", parameters(reference))

    convert("tutorial", source, data)

    model = load_model(
        data / "models" / "CuratorNet_wikimedia", Features.load(data / "features" / "resnet50")
    )
    found = model.score(["0", "1"], [str(item) for item in items])
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-6)
    assert model.config.max_history == 10


def test_acf_has_the_tutorials_scores(shared, tmp_path):
    reference = dict(np.load(shared("reference/parity/acf.npz"), allow_pickle=False))
    source, data = tmp_path / "tutorial", tmp_path / "data"
    maps, profiles = reference["feature_maps"], reference["profiles_padded_plus_one"]
    n_users = len(reference["param/user_model.user_embedding.weight"])
    items, users = _ids(len(maps), 5), sorted(_ids(n_users, 6))
    write_embedding(source / "embedding-resnet50-layer4.npy", [f"{i}.jpg" for i in items], maps)
    known = {
        int(user): profile[profile > 0] - 1
        for user, profile in zip(reference["users"], profiles, strict=True)
    }
    rows = [
        (users[u], items[i], t, t == 10)
        for u in range(n_users)
        for t, i in [*enumerate(known.get(u, [u])), (10, 22 - u)]
    ]
    write_csv(source / "wikimedia.csv", "user_id,item_id,timestamp,evaluation", rows)
    arguments = {"users": np.arange(n_users), "items": np.arange(1, len(maps) + 1), "model_dim": 6}
    path = source / "ACF_wikimedia.tar"
    torch.save(
        {"state_dict": parameters(reference), "model_args": arguments, "epoch": 9, "loss": np.inf}, path
    )

    convert("tutorial", source, data)

    model = load_model(data / "models" / "ACF_wikimedia")
    asked = [str(users[int(user)]) for user in reference["users"]]
    found = model.score(asked, [str(item) for item in items])
    np.testing.assert_allclose(found, reference["scores"], rtol=1e-4, atol=1e-6)
    regions = Features.load(data / "features" / "resnet50-layer4")
    assert regions.provenance["grid"] == [2, 2]
    again = load_model(data / "models" / "ACF_wikimedia", regions).score(asked, [str(item) for item in items])
    np.testing.assert_allclose(again, reference["scores"], rtol=1e-4, atol=1e-6)
