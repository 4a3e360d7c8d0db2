"""Pages of one question never repeat an item, and together they are the list that was ranked when it was asked."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visrec.serving.answers import Ranking
from visrec.serving.engine import Question
from visrec.serving.paging import Asked, Lists, depth
from visrec.serving.problems import ProblemError

from .conftest import train


def pages(client, first, ks=(), between=lambda: None):
    """The items of all pages, a list each; what is done `between` them; sizes in turn from ks."""
    answer, found, sizes = first.json(), [], list(ks)
    while True:
        found.append([one["id"] for one in answer["items"]])
        if answer["next_cursor"] is None:
            return found
        between()
        k = sizes.pop(0) if sizes else 20
        answer = client.get("/v1/recommendations", params={"cursor": answer["next_cursor"], "k": k}).json()


def flat(found):
    return [one for page in found for one in page]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    user=st.sampled_from([None, "u0001", "u/2 ä"]),
    liked=st.lists(st.integers(0, 79), min_size=1, max_size=3, unique=True),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    diversity=st.sampled_from([0.0, 0.3, 1.0]),
    exclude=st.lists(st.integers(0, 79), max_size=5),
)
def test_pages_are_disjoint_and_together_the_long_list(client, user, liked, sizes, diversity, exclude):
    question = {
        "user": user,
        "model": "visrank",
        "history": [f"{n:05d}" for n in liked],
        "exclude": [f"{n:05d}" for n in exclude],
        "diversity": diversity,
    }
    long = client.post("/v1/recommendations", json={**question, "k": 100}).json()
    first = client.post("/v1/recommendations", json={**question, "k": sizes[0]})
    found = flat(pages(client, first, sizes[1:]))
    assert found == [one["id"] for one in long["items"]]
    assert len(found) == len(set(found))
    assert long["next_cursor"] is None


@pytest.mark.parametrize(("k", "deep"), [(1, 100), (10, 100), (20, 200), (50, 500), (100, 500)])
def test_ten_pages_are_ranked_within_bounds(k, deep):
    assert depth(k) == deep


def test_a_like_and_a_hide_in_between_change_nothing(client):
    question = {"history": ["00001"], "model": "item_knn", "k": 5}
    long = client.post("/v1/recommendations", json={**question, "k": 100}).json()
    first = client.post("/v1/recommendations", json=question)
    items = iter(range(40, 80))

    def between():
        client.post("/v1/events", json=[{"kind": "like", "item": f"{next(items):05d}"}]).raise_for_status()
        client.post("/v1/events", json=[{"kind": "hide", "item": f"{next(items):05d}"}]).raise_for_status()

    assert flat(pages(client, first, between=between)) == [one["id"] for one in long["items"]]


def test_another_run_in_between_changes_nothing(opened, shop, folder, tmp_path):
    link = tmp_path / "served"
    link.symlink_to(folder, target_is_directory=True)
    client = opened(path=link)
    question = {"history": ["00001"], "model": "visrank", "k": 7}
    long = client.post("/v1/recommendations", json={**question, "k": 100}).json()
    first = client.post("/v1/recommendations", json=question)
    other = train(shop, tmp_path / "other", ("visrank",), features={"extractor": "attractiveness"})
    swapped = []

    def between():
        if not swapped:
            link.unlink()
            link.symlink_to(other, target_is_directory=True)
            swapped.append(client.post("/v1/reload").json())

    found = pages(client, first, between=between)
    assert swapped[0]["run"] != swapped[0]["before"] == first.json()["run"]
    assert flat(found) == [one["id"] for one in long["items"]]
    late = {"cursor": first.json()["next_cursor"], "reasons": True}  # which nobody can give any more
    assert {one["reasons"] for one in client.get("/v1/recommendations", params=late).json()["items"]} == {
        None
    }
    again = client.post("/v1/recommendations", json={**question, "k": 100}).json()
    assert again["run"] == swapped[0]["run"]
    assert [one["id"] for one in again["items"]] != flat(found)


def test_a_page_says_its_places(client):
    first = client.get("/v1/recommendations?user=u0001&model=bpr&k=3").json()
    second = client.get("/v1/recommendations", params={"cursor": first["next_cursor"], "k": 2}).json()
    assert [one["rank"] for one in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert (second["user"], second["model"]) == ("u0001", "bpr")
    assert second["recommendation_id"] != first["recommendation_id"]


# ---- cursors -----------------------------------------------------------------------------------------------


@pytest.fixture
def asked():
    ranking = Ranking(np.arange(3), np.zeros(3, dtype=np.float32))
    return Asked(Question("m"), ranking, ("a", "b", "c"), "run", "s" * 32)


def test_a_cursor_leads_to_its_place(asked):
    lists = Lists()
    key = lists.keep(asked)
    assert lists.at(lists.cursor(key, 300)) == (key, asked, 300)


def test_a_changed_cursor_is_refused(asked):
    lists = Lists()
    cursor = lists.cursor(lists.keep(asked), 20)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    changed = [raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :] for n in range(len(raw))]
    changed += [raw[:-1], raw + b"\0", b"", raw[:12]]
    others = [base64.urlsafe_b64encode(one).decode().rstrip("=") for one in changed]
    others += ["ä", "a b", json.dumps({"start": 0}), cursor + "A"]
    for one in others:
        with pytest.raises(ProblemError) as caught:
            lists.at(one)
        assert caught.value.problem.status == 400


def test_a_cursor_of_another_process_is_refused(asked):
    lists, other = Lists(), Lists()
    with pytest.raises(ProblemError, match="not one that this service gave"):
        other.at(lists.cursor(lists.keep(asked), 0))


def test_what_a_session_was_shown_is_forgotten_with_it(asked):
    lists = Lists()
    mine, others = lists.keep(asked), lists.keep(replace(asked, session=None))
    lists.forget("s" * 32)
    assert lists.at(lists.cursor(others, 0))[0] == others
    with pytest.raises(ProblemError) as caught:
        lists.at(lists.cursor(mine, 0))
    assert caught.value.problem.status == 410


def test_memory_is_bounded_and_what_was_read_lately_stays(asked):
    lists = Lists(kept=2)
    first, second = lists.keep(asked), lists.keep(asked)
    lists.at(lists.cursor(first, 0))
    third = lists.keep(asked)
    for key in (first, third):
        assert lists.at(lists.cursor(key, 1))[0] == key
    with pytest.raises(ProblemError) as caught:
        lists.at(lists.cursor(second, 1))
    assert caught.value.problem.status == 410
