from __future__ import annotations

import numpy as np
import pytest

from visrec.content import Content
from visrec.errors import FeaturesError
from visrec.features.features import Features

IDS = ["a", "b"]
VECTOR = Features.from_array(np.eye(2), IDS)
REGIONS = Features.from_array(np.arange(12.0).reshape(2, 3, 2), IDS)
IMAGE = Features.from_array(np.full((2, 4, 4, 3), 7, dtype=np.uint8), IDS)


@pytest.mark.parametrize(("features", "kind"), [(VECTOR, "vector"), (REGIONS, "regions"), (IMAGE, "image")])
def test_features_are_content_of_their_own_kind(features, kind):
    assert features.kind == kind
    assert Content.of(features).wanted(kind, "Model") is features
    assert Content.of(None).wanted("none", "Model") is None


def test_content_stays_as_it_is():
    content = Content(vector=VECTOR, image=IMAGE)
    assert Content.of(content) is content
    assert content.wanted("image", "Model") is IMAGE


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (None, "vector", r"^Model needs visual features: fit\(train, features\)"),
        (REGIONS, "vector", "one vector an item; these features have 3 regions"),
        (VECTOR, "regions", r"needs \(found: vector\) features of regions.*grid=4"),
        (VECTOR, "image", r"needs \(found: vector\) the pictures' pixels.*'pixels'"),
        (IMAGE, "vector", r"needs \(found: image\) visual features"),
    ],
)
def test_content_of_another_kind_is_refused_with_how_to_make_it(given, kind, message):
    with pytest.raises(FeaturesError, match=message):
        Content.of(given).wanted(kind, "Model")


def test_pixels_stay_bytes_and_are_no_vectors():
    assert IMAGE.values.dtype == np.uint8
    with pytest.raises(FeaturesError, match="pixels, not vectors"):
        _ = IMAGE.vectors
    with pytest.raises(FeaturesError, match=r"uint8 \(n, S, S, 3\)|\(2, S, S, 3\)"):
        Features.from_array(np.zeros((2, 4, 4, 3)), IDS)  # of float: another thing


def test_features_in_the_place_of_another_kind_are_refused():
    with pytest.raises(FeaturesError, match="vector was given features of the kind regions"):
        Content(vector=REGIONS)


def test_what_a_model_is_sampled_by_does_not_depend_on_what_others_need():
    both = Content(vector=VECTOR, regions=REGIONS)
    assert both.preferring("regions").vectors("Model")[1] is REGIONS
    for kind in ("none", "vector", "image"):
        assert both.preferring(kind).vectors("Model")[1] is VECTOR
    assert Content(regions=REGIONS).preferring("none").vectors("Model")[1] is REGIONS
