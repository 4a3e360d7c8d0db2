"""On pictures and tastes whose truth is known, what explanations point at counts more than anything else."""

from __future__ import annotations

import pytest

import visrec
from visrec.content import Content
from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.explain import attribute_table
from visrec.explain.faithfulness import check_explanations

pytestmark = pytest.mark.slow

SETTINGS = {
    "VisRank": {"method": "average"},
    "VBPR": {"dim_gamma": 16, "dim_theta": 8, "epochs": 30, "batch_size": 512, "reg": 0.05, "reg_E": 0.003},
    "CuratorNet": {"dim": 64, "dim_hidden": 96, "epochs": 10},
    "ACF": {"dim_gamma": 32, "dim_attention": 32, "epochs": 8, "max_history": 10},
    "DVBPR": {
        "channels": (16, 32, 32, 32, 32),
        "dim_fc": 128,
        "dim_theta": 32,
        "dim_gamma": 16,
        "bias": True,
        "epochs": 8,
        "reg_theta": 0.1,
        "reg_W": 1e-4,
        "precision": "float32",
    },
}
KINDS = {
    "VisRank": {"nearest", "contributions"},
    "VBPR": {"nearest", "visual"},
    "CuratorNet": {"nearest", "contributions"},
    "ACF": {"contributions", "attention", "regions"},
    "DVBPR": {"nearest", "activation"},
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Training data and content of a small gallery whose users mostly go by looks."""
    folder = tmp_path_factory.mktemp("planted") / "data"
    shares = {"visual_share": 0.8, "latent_share": 0.1, "popularity_share": 0.1}
    write_synthetic(folder, SyntheticConfig(seed=1, n_items=400, n_users=300, image_size=96, **shares))
    data = visrec.load_dataset(folder)
    catalog = data.catalog
    content = Content(
        vector=visrec.extract(catalog, "color", n_workers=0),
        regions=visrec.extract(catalog, "color", grid=4, n_workers=0),
        image=visrec.extract(catalog, "pixels", size=64, n_workers=0),
    )
    return visrec.leave_last_out(data.interactions).train, content, attribute_table(catalog, n_workers=0)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_explanations_hold(planted, name):
    train, content, attributes = planted
    model = getattr(visrec, name)(**SETTINGS[name]).fit(train, content)
    checks = {one.kind: one for one in check_explanations(model, content, attributes=attributes)}
    assert set(checks) == KINDS[name] | {"attributes"}
    for kind in KINDS[name]:
        assert checks[kind].holds, checks[kind]


def test_attributes_explain_who_looks_better_than_who_is_blind(planted):
    train, content, attributes = planted
    found = [
        {one.kind: one for one in check_explanations(model, content, attributes=attributes)}["attributes"]
        for model in (visrec.VisRank(method="average").fit(train, content), visrec.ItemKNN().fit(train))
    ]
    assert found[0].holds
    assert found[0].difference.low > found[1].difference.mean
