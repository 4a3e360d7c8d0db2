from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import visrec
from visrec.errors import ConfigError
from visrec.evaluation.significance import Estimate
from visrec.explain import deletions
from visrec.explain.attributes import telling
from visrec.explain.deletions import Deletion, deletions_of
from visrec.explain.explanation import Attribute
from visrec.explain.faithfulness import Check, check_explanations, written
from visrec.explain.question import Question
from visrec.features.features import Features


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _changes(model, kind, content=None, table=None):
    """What the deletion of a kind does, without gradients, as `check_explanations` has it."""
    found = {one.kind: one for one in deletions_of(model, content, table)}[kind]
    return torch.no_grad()(found.changes)


# ---- what is deleted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("VisRank", ["nearest", "contributions"]),
        ("ItemKNN", ["contributions"]),
        ("EASE", ["contributions"]),
        ("BPR", ["nearest"]),
        ("VBPR", ["nearest", "visual"]),
        ("CuratorNet", ["nearest", "contributions"]),
        ("ACF", ["contributions", "attention", "regions"]),
        ("DVBPR", ["nearest", "activation"]),
    ],
)
def test_every_kind_of_explanation_of_a_model_is_checked(fitted, content, name, kinds):
    assert [one.kind for one in deletions_of(fitted(name), content)] == kinds


def test_of_a_history_the_named_items_are_left_out(fitted, rng):
    model = fitted("VisRank", method="average")
    question = Question.of(model, "u00", "i03", None)
    named, random = _changes(model, "nearest")(question, 4, rng)
    f = model.f.numpy()
    cosine = {n: float(f[n] @ f[3]) for n in (0, 2, 6, 8, 9)}  # i04 has no picture
    rest = sorted(cosine, key=cosine.get)[:2]  # of six items three are named
    expected = np.mean(list(cosine.values())) - np.mean([cosine[n] for n in rest])
    assert named == pytest.approx(expected, abs=1e-6)
    assert random.shape == (4,)
    assert random.max() <= named + 1e-6


def test_a_random_part_of_a_history_is_as_large(fitted, rng, monkeypatch):
    model = fitted("VisRank", method="average")
    question = Question.of(model, "u00", "i03", None)
    asked = []
    monkeypatch.setattr(
        Question, "scores", lambda self, histories: asked.extend(histories) or np.zeros(len(histories))
    )
    deletions._of_history(lambda question: question.history[::-1])(question, 5, rng)
    assert [len(history) for history in asked] == [6, *[3] * 6]
    assert asked[1].tolist() == question.history[:3].tolist()


def test_what_vbpr_sees_shared_with_the_nearest_is_a_projection(fitted, content, rng):
    model = fitted("VBPR")
    question = Question.of(model, "u00", "i03", None)
    named, _ = _changes(model, "nearest", content)(question, 2, rng)
    f = model.f[:].double().numpy()
    mean = f.mean(0)
    raw = content.vector.values
    cosine = {n: raw[n] @ raw[3] / np.linalg.norm(raw[n]) for n in (0, 2, 6, 8, 9)}
    nearest = sorted(cosine, key=cosine.get)[-3:]
    span = (f[nearest] - mean).T  # (F, 3)
    weights, *_ = np.linalg.lstsq(span, f[3] - mean, rcond=None)
    without = f[3] - span @ weights  # the picture without what it shares
    theta_u, E = model.theta_u[0].detach().double().numpy(), model.E.detach().double().numpy()
    beta_prime = model.beta_prime.detach().double().numpy()[:, 0]
    expected = theta_u @ E @ (f[3] - without) + beta_prime @ (f[3] - without)
    assert named == pytest.approx(expected, abs=1e-6)


def test_without_its_own_look_an_item_of_vbpr_has_the_visual_terms_of_an_average_one(fitted, rng):
    from visrec.explain import explain

    model = fitted("VBPR")
    named, _ = _changes(model, "visual")(Question.of(model, "u00", "i03", None), 2, rng)
    terms = {one.name: one for one in explain(model, "u00", "i03").terms}
    assert named == pytest.approx(terms["visual"].above + terms["visual bias"].above, abs=1e-5)


def test_regions_that_become_the_pictures_average_change_the_score_as_acf_itself_would_say(
    fitted, train, content, rng
):
    model = fitted("ACF")
    question = Question.of(model, "u00", "i03", None)
    named, random = _changes(model, "regions")(question, 3, rng)
    # The same by hand: one of four regions of each picture, and the whole model with other features.
    values = content.regions.values.copy()
    table = model.attention(["u00"])
    for item, beta in zip(table["item_id"], table["beta"].to_list(), strict=True):
        if beta is not None:
            row = train.items.index(item)
            values[row, int(np.argmax(beta))] = content.regions.values[row].mean(0)
    other = fitted("ACF")  # the same seed: the same model
    other.features = Features.from_array(values, train.items.values, missing=content.regions.missing)
    q = [one.encode_queries(one.queries(np.array([0])))[0] for one in (model, other)]
    expected = float(((q[0] - q[1]) @ model.v[3]).detach())
    assert named == pytest.approx(expected, abs=1e-6)
    assert named != 0
    assert len(random) == 3


def test_where_the_map_is_highest_the_picture_is_covered(fitted, rng, monkeypatch):
    model = fitted("DVBPR")
    seen = []

    class Recording(torch.nn.Module):
        def forward(self, pixels):
            seen.append(pixels)
            return torch.zeros(len(pixels), 3)

    values = np.zeros((4, 4), dtype=np.float32)
    values[0, 0] = 1
    monkeypatch.setattr(deletions, "activation_map", lambda *given: (values, 2.0))
    model.phi = Recording()
    named, random = _changes(model, "activation")(Question.of(model, "u00", "i03", None), 3, rng)
    (covered,) = seen
    changed = (covered.numpy() != model.pixels.values[3]).any(3)
    assert changed[0, :16, :16].mean() > 0.99
    there = ~model.pixels.missing
    colour = np.rint(model.pixels.values[there].reshape(-1, 3).mean(0))
    assert covered[0, 0, 0].tolist() == colour.tolist()
    expected = round(deletions.AREA * 64 * 64)
    for one in changed:
        assert expected * 0.98 <= one.sum() <= expected  # a pixel may have had that colour
    assert named == 2.0
    assert random.tolist() == [2.0, 2.0, 2.0]


def test_attributes_are_checked_by_exchange(fitted, train, rng):
    values = np.array([0, 5, 0, 1, 5, 5, 0.5, 5, 1, 0, 5, 5], dtype=np.float32)[:, None]
    table = Features.from_array(values, train.items.values, provenance={"columns": ["bright"]})
    model = fitted("VisRank")
    question = Question.of(model, "u01", "i05", None)  # likes 5, 0, 1, 5: the item, of 5, does not stand out
    changes = _changes(model, "attributes", table=table)
    named, random = changes(question, 200, rng)
    assert random.std() > 0
    scores = dict(zip(train.items.values, model.score(["u01"])[0], strict=True))
    liked = np.array([5, 0, 1, 5])
    others = [n for n in range(12) if n not in (1, 2, 3, 10, 5)]
    lacking = [n for n in others if abs(values[n, 0] - liked.mean()) > liked.std()]
    drops = [scores["i05"] - scores[f"i{n:02d}"] for n in lacking]
    assert min(drops) <= named <= max(drops)
    assert random.mean() == pytest.approx(
        np.mean([scores["i05"] - scores[f"i{n:02d}"] for n in others]), abs=4 * random.std() / 200**0.5
    )


def test_the_telling_measure_is_the_fitting_one_that_sets_the_taste_apart():
    def measure(name, value, mean_percentile):
        return Attribute(name, value, 50.0, 0.0, 1.0, mean_percentile, 0.0, 100.0)

    found = [
        measure("a", 0.5, 60.0),
        measure("b", -1.0, 20.0),
        measure("c", 1.5, 1.0),
        measure("d", None, 1.0),
    ]
    assert telling(found).name == "b"  # c does not fit, d has no picture
    assert telling(found[2:]) is None


# ---- the check -----------------------------------------------------------------------------------------


def _faked(monkeypatch, pairs, *, signed=True):
    """One kind of deletion that has these (named, random) changes for the users, in turn."""
    left = iter(pairs)

    def changes(question, n_draws, rng):
        found = next(left)
        return None if found is None else (found[0], np.full(n_draws, found[1]))

    one = SimpleNamespace(kind="made", deleted="something", signed=signed, changes=changes)
    monkeypatch.setattr("visrec.explain.faithfulness.deletions_of", lambda *given: (one,))


def test_changes_are_in_standard_deviations_of_the_users_scores(fitted, monkeypatch):
    model = fitted("VisRank")
    _faked(monkeypatch, [(2.0, 0.5)])
    users = {"u00": 6, "u01": 4}  # took at least four
    _faked(monkeypatch, [(2.0, 0.5), (1.0, 1.0)])
    (found,) = check_explanations(model)
    spread = model.score(list(users)).std(axis=1)
    assert found.n == 2
    assert found.named == pytest.approx((2 / spread[0] + 1 / spread[1]) / 2, rel=1e-5)
    assert found.random == pytest.approx((0.5 / spread[0] + 1 / spread[1]) / 2, rel=1e-5)
    assert found.difference.mean == pytest.approx(found.named - found.random)


def test_what_may_go_both_ways_counts_by_its_size(fitted, monkeypatch):
    _faked(monkeypatch, [(-2.0, 0.5), (2.0, -0.5)], signed=False)
    (found,) = check_explanations(fitted("VisRank"))
    assert found.named > found.random > 0


def test_users_with_nothing_to_delete_are_left_out(fitted, monkeypatch):
    _faked(monkeypatch, [None, (1.0, 0.0)])
    assert check_explanations(fitted("VisRank")) == ()  # one user has no interval


def test_the_same_seed_gives_the_same_checks(fitted, content):
    model = fitted("CuratorNet")
    first, second = (check_explanations(model, content, seed=3) for _ in range(2))
    assert first == second


def test_models_that_explain_nothing_have_no_checks(train):
    assert check_explanations(visrec.Popularity().fit(train)) == ()


@pytest.mark.parametrize("wrong", [{"n_users": 1}, {"n_draws": 0}])
def test_too_few_are_refused(fitted, wrong):
    with pytest.raises(ConfigError, match="at least"):
        check_explanations(fitted("VisRank"), **wrong)


def test_verdicts():
    def check(low, high):
        return Check("made", "something", True, 1.0, 0.5, Estimate((low + high) / 2, low, high), 40)

    assert [check(*one).verdict for one in ((0.1, 0.2), (-0.1, 0.1), (-0.2, -0.1))] == [
        "yes",
        "not shown",
        "no",
    ]
    assert check(0.1, 0.2).holds


def test_a_check_survives_json():
    check = Check("made", "something", False, 1.0, -0.5, Estimate(1.5, 1.0, 2.0), 40)
    assert Check.from_dict(json.loads(json.dumps(check.as_dict()))) == check
    (row,) = written({"model": [check]})
    assert row == (
        "model",
        "something",
        "moves by",
        "1.000",
        "−0.500",
        "+1.500 [+1.000, +2.000]",
        "40",
        "yes",
    )


# ---- what must be found out ----------------------------------------------------------------------------


@pytest.mark.parametrize(("last", "verdict"), [(False, "yes"), (True, "no")])
def test_an_explanation_that_names_the_wrong_items_is_found_out(
    interactions, rng, monkeypatch, last, verdict
):
    pairs = [(user, item) for user in range(30) for item in rng.permutation(40)[:12]]
    train = interactions(pairs, 30, 60)
    features = Features.from_array(rng.normal(size=(60, 4)), train.items.values)
    model = visrec.VisRank(method="average").fit(train, features)

    def naming(question):
        cosine = model.f[question.history] @ model.f[question.item]
        return question.history[torch.argsort(cosine, descending=not last).numpy()]

    one = Deletion("nearest", "liked items", True, deletions._of_history(naming))
    monkeypatch.setattr("visrec.explain.faithfulness.deletions_of", lambda *given: (one,))
    (found,) = check_explanations(model)
    assert found.verdict == verdict
