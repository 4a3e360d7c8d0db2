"""Why: the parts of an explanation as they are drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from visrec.evaluation.significance import Estimate
from visrec.explain import explain
from visrec.explain.explanation import Activation, Attended, Explanation, Region, Term
from visrec.explain.faithfulness import Check
from visrec.serving.engine import Engine, Question
from visrec.serving.pages.rendering import brief, decimal, why_url
from visrec.serving.pages.why import _activation, _looked, _terms

from .conftest import PERSON


def empty(**parts: object) -> Explanation:
    return Explanation(model="VBPR", user="u", item="i", score=1.0, history=(), because="", **parts)  # type: ignore[arg-type]


def test_the_three_nearest_stand_there_with_their_likeness(visitor: TestClient, hung: Engine) -> None:
    found = explain(hung.model("visrank"), PERSON, "00001", content=hung.run.content, catalog=hung.catalog)
    assert found.nearest is not None
    page = visitor.get(why_url("visrank", "00001", PERSON)).text
    part = page[page.index('id="why-nearest"') :].split("</section>")[0]
    assert re.findall(r'data-item="([^"]*)"', part) == [one.item_id for one in found.nearest.items]
    assert re.findall(r"likeness (\S+)</span>", part) == [
        f"{one.similarity:.2f}" for one in found.nearest.items
    ]


@pytest.mark.parametrize(
    ("model", "there", "absent"),
    [
        ("vbpr", ["why-nearest", "why-terms", "why-taste"], ["why-attention", "why-activation", "why-parts"]),
        ("acf", ["why-nearest", "why-attention", "why-parts"], ["why-activation", "why-terms"]),
        ("dvbpr", ["why-activation", "why-terms"], ["why-attention"]),
        ("item_knn", ["why-parts"], ["why-attention", "why-activation", "why-terms"]),
    ],
)
def test_each_model_is_explained_by_what_it_has(
    visitor: TestClient, model: str, there: list[str], absent: list[str]
) -> None:
    page = visitor.get(why_url(model, "00001", PERSON)).text
    assert [part for part in there if f'id="{part}"' not in page] == []
    assert [part for part in absent if f'id="{part}"' in page] == []


def test_a_visitor_is_answered_by_what_they_like(visitor: TestClient) -> None:
    page = visitor.get(why_url("visrank", "00001", liked=["00004", "00009"]))
    assert page.status_code == 200
    assert "a visitor who likes 2 things" in page.text
    assert visitor.get("/why?item=00001").status_code == 422  # for whom?
    assert visitor.get(why_url("vbpr", "00001", liked=["00004"])).status_code == 422  # it serves no visitors


def test_what_counts_most_on_a_picture_is_left_uncovered(hung: Engine) -> None:
    """Four regions; the lower right has most of the attention, the upper left nearly none."""
    boxes = [(0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0)]
    regions = tuple(Region(box, beta) for box, beta in zip(boxes, (0.05, 0.2, 0.25, 0.5), strict=True))
    found = _looked(hung, Attended("00001", 0.4, regions))
    darkness = [float(veil.opacity) for veil in found.veils]
    assert darkness == pytest.approx([0.82 * 0.9, 0.82 * 0.6, 0.82 * 0.5, 0.0], abs=1e-3)
    assert (found.where, found.share) == ("most at the lower right", 40.0)
    assert (found.veils[1].x, found.veils[1].width) == ("50.00", "50.00")


def test_what_a_model_did_not_see_of_a_picture_is_dark(hung: Engine) -> None:
    """It saw the middle half of the width: a quarter on each side lies under a full veil."""
    found = _looked(hung, Attended("00001", 1.0, (Region((0.25, 0.0, 0.75, 1.0), 1.0),)))
    assert [(veil.x, veil.width, veil.opacity) for veil in found.veils[1:]] == [
        ("0.00", "25.00", "0.820"),
        ("75.00", "25.00", "0.820"),
    ]


def test_a_map_shows_what_speaks_for_and_what_against() -> None:
    values = np.array([[1.0, 0.0], [0.0, -0.5]], dtype=np.float32)
    found = _activation(empty(activation=Activation(values, 0.3)))
    assert found is not None
    assert [(side, where) for side, (_, where) in found.items()] == [
        ("for", "at the upper left"),
        ("against", "at the lower right"),
    ]
    assert [veil.opacity for veil in found["for"][0]] == ["0.000", "0.820", "0.820", "0.820"]
    assert [veil.opacity for veil in found["against"][0]] == ["0.820", "0.820", "0.820", "0.000"]
    assert _activation(empty(activation=Activation(np.zeros((2, 2), dtype=np.float32), 0.0))) is None


def test_terms_are_bars_from_the_average_item() -> None:
    """Above 2 and -1: the larger fills its half, the other half of the other half."""
    found = _terms(empty(terms=(Term("bias", 0.0, 1.0), Term("visual", 2.5, 0.5))))
    assert [(one.name, one.above, one.start, one.width) for one in found] == [
        ("how it looks", 2.0, 50.0, 50.0),
        ("liked by many", -1.0, 25.0, 25.0),
    ]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "It holds"), (-0.1, 0.3, "Not shown to hold"), (-0.3, -0.1, "It does not hold")],
)
def test_it_is_said_whether_an_explanation_was_found_to_hold(
    gallery: Path, visitor: TestClient, monkeypatch: pytest.MonkeyPatch, low: float, high: float, said: str
) -> None:
    assert gallery.is_dir()
    check = Check("nearest", "the 3 liked items", True, 0.5, 0.25, Estimate((low + high) / 2, low, high), 40)
    monkeypatch.setattr("visrec.serving.pages.why._checks", lambda _: {"visrank": (check,)})
    page = visitor.get(why_url("visrank", "00001", PERSON)).text
    part = page[page.index('id="why-nearest"') :].split("</section>")[0]
    assert f"{said}</b>: deleting the 3 liked items lowers the score by 0.50" in part
    assert "at random by 0.25. Measured on 40 people" in part
    assert ("They are alike to this model; that it recommends by such likeness" in page) == (low < 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.756, "0.76"), (-0.18, "−0.18"), (-0.001, "0.00"), (1.0, "1.00")],
)
def test_numbers_have_a_leading_zero_and_a_minus_that_is_one(value: float, text: str) -> None:
    assert decimal(value) == text


def test_the_rank_is_among_what_was_ranked(visitor: TestClient, hung: Engine) -> None:
    """Of 60 items, those that the person took before are in no list."""
    first = hung.recommend(Question("visrank", 1, PERSON, known="past"))[0]
    page = visitor.get(why_url("visrank", hung.item(first.index).id, PERSON)).text
    assert f"rank 1 of {60 - len(set(hung.person(PERSON).history))}." in page


def test_the_part_of_the_score_that_no_liked_item_has_is_told(visitor: TestClient, hung: Engine) -> None:
    found = explain(hung.model("acf"), PERSON, "00001", content=hung.run.content, catalog=hung.catalog)
    assert found.contributions is not None
    assert found.contributions.rest is not None
    page = visitor.get(why_url("acf", "00001", PERSON)).text
    assert f"{brief(found.contributions.rest)} that comes from what the model has learned" in page
    assert "has learned of the person" not in visitor.get(why_url("visrank", "00001", PERSON)).text
