from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import visrec
from visrec.errors import ConfigError, DataError, FeaturesError, UnsupportedError
from visrec.explain import explain
from visrec.features.features import Features

ALL = ("VisRank", "ItemKNN", "EASE", "BPR", "VBPR", "CuratorNet", "ACF", "DVBPR")


def test_visrec_names_the_package_without_importing_torch():
    program = "import sys, visrec; visrec.explain; print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_function_is_reached_through_the_package():
    assert visrec.explain.explain is explain


@pytest.mark.parametrize("name", ALL)
def test_every_model_explains_itself_as_json_in_ids(fitted, content, name):
    model = fitted(name)
    found = explain(model, "u00", "i03", content=content)
    assert found.score == pytest.approx(float(model.score(["u00"], ["i03"])[0, 0]), abs=1e-5)
    assert found.history == ("i00", "i02", "i04", "i06", "i08", "i09")
    assert found.because.startswith(("Because", "Nothing"))
    written = json.loads(json.dumps(found.as_dict()))
    assert written["item"] == "i03"
    assert {one["item_id"] for one in written["nearest"]["items"]} <= set(found.history)


# ---- the history ---------------------------------------------------------------------------------------


def test_a_given_history_takes_the_place_of_the_training_data(fitted):
    model = fitted("VisRank")
    found = explain(model, "u00", "i03", history=["i01", "i05", "i01", "i03"])
    assert found.history == ("i05", "i01")  # each once, where it came last; the item itself not at all
    f = model.f.numpy()
    assert found.score == pytest.approx(max(f[3] @ f[1], f[3] @ f[5]), abs=1e-6)


def test_a_visitor_is_a_history_without_a_user(fitted):
    model = fitted("CuratorNet")
    found = explain(model, None, "i03", history=["i01", "i05"])
    assert found.user is None
    table = model.recommend_for_history(["i01", "i05"], 12)
    assert found.score == pytest.approx(
        dict(zip(table["item_id"], table["score"], strict=True))["i03"], abs=1e-5
    )


def test_visitors_of_models_that_know_only_their_users_are_refused(fitted):
    with pytest.raises(UnsupportedError, match="knows only the users"):
        explain(fitted("VBPR"), None, "i03", history=["i01"])


@pytest.mark.parametrize(
    ("user", "item", "more", "error", "message"),
    [
        (None, "i03", {}, ConfigError, "Neither a user nor a history"),
        ("u00", "nothing", {}, DataError, "Unknown item 'nothing'"),
        ("nobody", "i03", {}, DataError, "Unknown user 'nobody'"),
        ("u00", "i03", {"parts": ["colour"]}, ConfigError, "no part 'colour'"),
        ("u00", "i03", {"n_nearest": 0}, ConfigError, "n_nearest is 0"),
        ("u00", "i03", {"pictures": {"mine": np.ones(3)}}, FeaturesError, "3 numbers; expected 5"),
    ],
)
def test_faults_are_named(fitted, user, item, more, error, message):
    with pytest.raises(error, match=message):
        explain(fitted("VisRank"), user, item, **more)


def test_only_the_parts_asked_for_are_made(fitted):
    found = explain(fitted("VBPR"), "u00", "i03", parts=["terms"])
    assert found.terms
    assert found.nearest is None


# ---- nearest -------------------------------------------------------------------------------------------


def test_the_nearest_have_the_largest_cosines_of_the_history(fitted, content):
    f = content.vector.values
    cosine = {
        n: f[n] @ f[3] / np.linalg.norm(f[n]) / np.linalg.norm(f[3]) for n in (0, 2, 6, 8, 9)
    }  # 4: no picture
    expected = sorted(cosine, key=cosine.get, reverse=True)[:3]
    found = explain(fitted("BPR"), "u00", "i03", content=content).nearest
    assert (found.by, found.source) == ("features", "own values")
    assert [one.item_id for one in found.items] == [f"i{n:02d}" for n in expected]
    np.testing.assert_allclose(
        [one.similarity for one in found.items], [cosine[n] for n in expected], atol=1e-6
    )


def test_regions_are_compared_by_their_means(fitted, content):
    x = content.regions.values.mean(axis=1)
    found = explain(fitted("ACF"), "u00", "i03", n_nearest=1).nearest
    cosine = {n: x[n] @ x[3] / np.linalg.norm(x[n]) / np.linalg.norm(x[3]) for n in (0, 2, 6, 8, 9)}
    assert found.items[0].similarity == pytest.approx(max(cosine.values()), abs=1e-6)


def test_without_features_what_the_model_holds_of_items_is_compared(fitted):
    model = fitted("BPR")
    found = explain(model, "u00", "i03", n_nearest=1).nearest
    assert (found.by, found.source) == ("model", "BPR")
    gamma = model.gamma_i.detach().numpy()
    cosine = [g @ gamma[3] / np.linalg.norm(g) / np.linalg.norm(gamma[3]) for g in gamma[[0, 2, 4, 6, 8, 9]]]
    assert found.items[0].similarity == pytest.approx(max(cosine), abs=1e-5)


def test_what_dvbpr_sees_is_compared_beside_the_average_picture(fitted):
    """Its vectors may all but share a direction, which would make every picture like every other."""
    model = fitted("DVBPR")
    seen = np.delete(model.Z.detach().numpy()[:, :3], 4, axis=0)  # i04 has no picture
    own = {n: model.Z.detach().numpy()[n, :3] - seen.mean(0) for n in (0, 2, 3, 6, 8, 9)}
    cosine = {n: own[n] @ own[3] / np.linalg.norm(own[n]) / np.linalg.norm(own[3]) for n in (0, 2, 6, 8, 9)}
    found = explain(model, "u00", "i03", n_nearest=6).nearest.items
    assert [one.item_id for one in found] == [
        f"i{n:02d}" for n in sorted(cosine, key=cosine.get, reverse=True)
    ]
    assert found[0].similarity == pytest.approx(max(cosine.values()), abs=1e-5)


def test_an_uploaded_picture_can_be_the_nearest(fitted, content):
    model = fitted("VisRank")
    mine = {"photo.jpg": 2 * content.vector.values[3]}
    found = explain(model, None, "i03", history=["i01"], pictures=mine)
    first = found.nearest.items[0]
    assert (first.item_id, first.uploaded) == ("photo.jpg", True)
    assert first.similarity == pytest.approx(1, abs=1e-6)
    assert found.because == "Because it looks like your picture photo.jpg: likeness 1.00."


def test_an_item_without_a_picture_is_like_nothing(fitted):
    found = explain(fitted("VisRank"), "u01", "i04")
    assert found.nearest.items == ()


# ---- the sentence --------------------------------------------------------------------------------------


def test_the_sentence_names_the_title(fitted, content, train):
    import polars as pl

    ids = train.items
    table = pl.DataFrame({"item_id": ids.values, "title": [f"Picture {n}" for n in range(len(ids))]})
    catalog = visrec.Catalog(ids, (None,) * len(ids), table)
    found = explain(fitted("VisRank"), "u00", "i03", catalog=catalog)
    nearest = found.nearest.items[0]
    title = f"Picture {int(str(nearest.item_id)[1:])}"
    assert found.because.startswith(f"Because it looks like ‘{title}’, which you liked: likeness ")


def test_the_sentence_claims_no_likeness_to_what_has_nothing_in_common(fitted, train):
    """The only liked picture is the opposite of the item's: its cosine is -1."""
    values = np.ones((12, 5), dtype=np.float32)
    values[3] = -1
    opposite = Features.from_array(values, train.items.values)
    found = explain(fitted("CuratorNet"), None, "i03", history=["i01"], content=opposite)
    assert found.nearest.items[0].similarity == pytest.approx(-1)
    assert "looks like" not in found.because
    alike = explain(fitted("CuratorNet"), None, "i02", history=["i01"], content=opposite)
    assert alike.because == "Because it looks like ‘i01’, which you liked: likeness 1.00."


def test_models_without_a_person_say_so(train):
    popular = visrec.Popularity().fit(train)
    assert "gives everyone the same list" in explain(popular, "u00", "i03").because
    assert "By chance" in explain(visrec.Random().fit(train), "u00", "i03").because


def test_the_sentence_does_not_credit_looks_to_a_model_that_is_blind(fitted, content):
    found = explain(fitted("ItemKNN"), "u00", "i05", content=content)  # u02 took i00 and i05
    assert found.because == "Because people who liked ‘i00’, which you liked, also liked this one."


# ---- attributes ----------------------------------------------------------------------------------------


def test_attributes_are_percentiles_of_the_catalogue(fitted, train):
    values = np.arange(12, dtype=np.float32)[:, None] * [1.0, -2.0]
    missing = np.arange(12) == 4
    named = {"columns": ["bright", "dark"]}
    table = Features.from_array(values, train.items.values, missing=missing, provenance=named)
    bright, dark = explain(fitted("VisRank"), "u00", "i03", attributes=table).attributes
    # Eleven pictures; 0, 1, 2 are below 3, which is tied with itself.
    assert bright.value == 3
    assert bright.percentile == pytest.approx(100 * 3.5 / 11)
    liked = np.array([0, 2, 6, 8, 9])
    assert bright.mean == pytest.approx(liked.mean())
    assert bright.std == pytest.approx(liked.std())
    assert bright.mean_percentile == pytest.approx(100 * 4.5 / 11)  # 5: 0, 1, 2, 3 below, one tie
    assert bright.low_percentile == pytest.approx(100 * 2 / 11)  # 5 - 3.46: 0, 1
    assert bright.high_percentile == pytest.approx(100 * 8 / 11)  # 8.46: all but 9, 10, 11
    assert dark.percentile == pytest.approx(100 - bright.percentile)


def test_attributes_need_names(fitted, content):
    with pytest.raises(FeaturesError, match="columns have names"):
        explain(fitted("VisRank"), "u00", "i03", attributes=content.vector)
