"""What people do, and what their lists are then."""

from __future__ import annotations

import pytest

from visrec.feedback.store import Store

from .conftest import MODELS, OURS, PROGRAM, TOKEN


def shown(client, **question):
    answer = client.get("/v1/recommendations", params={"k": 80, **question})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


def test_a_like_changes_the_lists_of_its_session_at_once_and_no_other(opened):
    client, other = opened(), opened()
    for one in (client, other):
        one.post("/v1/events", json={"kind": "like", "item": "00001"}).raise_for_status()
    before = shown(client, model="visrank")
    client.post("/v1/events", json={"kind": "like", "item": "00002"}).raise_for_status()
    after = shown(client, model="visrank")
    assert before != after
    assert "00002" not in after
    same = client.post("/v1/recommendations", json={"model": "visrank", "k": 80, "history": []}).json()
    assert [one["id"] for one in same["items"]] == after
    assert shown(other, model="visrank") == before
    stranger = client.post(
        "/v1/recommendations", json={"model": "visrank", "history": ["00001", "00002"], "k": 80}
    )
    assert [one["id"] for one in stranger.json()["items"]] == after  # a history says the same as likes


def test_taking_a_like_back_undoes_it(client):
    client.post("/v1/events", json={"kind": "like", "item": "00001"})
    before = shown(client, model="item_knn")
    for kind in ("like", "unlike"):
        client.post("/v1/events", json={"kind": kind, "item": "00002"}).raise_for_status()
    assert shown(client, model="item_knn") == before


@pytest.mark.parametrize("model", MODELS)
def test_what_is_hidden_is_in_no_list_of_the_session(client, model):
    hidden = shown(client, model=model, user="u0001")[:3]
    events = [{"kind": "hide", "item": item} for item in hidden]
    client.post("/v1/events", json=events).raise_for_status()
    assert not set(hidden) & set(shown(client, model=model, user="u0001"))
    assert client.get("/v1/session").json() == {"liked": [], "hidden": hidden}


def test_the_weight_of_a_like_counts(client):
    both = [{"kind": "like", "item": "00001"}, {"kind": "like", "item": "00002", "weight": -1}]
    client.post("/v1/events", json=both).raise_for_status()
    history = ["00001", {"item": "00002", "weight": -1}]
    same = client.post("/v1/recommendations", json={"model": "visrank", "history": history, "k": 80})
    assert shown(client, model="visrank") == [one["id"] for one in same.json()["items"]]
    assert shown(client, model="bpr", user="u0001")  # which cannot weigh, and only leaves both out


def test_what_a_question_says_itself_counts_more_than_a_like(client):
    client.post("/v1/events", json=[{"kind": "like", "item": "00001"}, {"kind": "like", "item": "00002"}])
    question = {"model": "visrank", "history": [{"item": "00002", "weight": -1}], "k": 80}
    found = client.post("/v1/recommendations", json=question).json()
    client.delete("/v1/session")
    question["history"].insert(0, "00001")
    assert found["items"] == client.post("/v1/recommendations", json=question).json()["items"]


def test_a_session_sees_its_own_events_and_can_have_them_forgotten(opened):
    client, other = opened(), opened()
    client.post("/v1/events", json={"kind": "click", "item": "00003", "id": "e1", "user": "shop-7"})
    (event,) = client.get("/v1/events").json()["events"]
    assert (event["id"], event["kind"], event["item"], event["user"]) == ("e1", "click", "00003", "shop-7")
    assert other.get("/v1/events").json() == {"events": []}
    assert client.delete("/v1/session").status_code == 204
    assert client.get("/v1/events").json() == {"events": []}
    assert "visrec_session" not in client.cookies


def test_a_session_that_is_forgotten_does_not_come_back_with_the_next_page(client, folder):
    client.post("/v1/events", json={"kind": "like", "item": "00001"})
    cursor = client.get("/v1/recommendations?model=visrank&k=3").json()["next_cursor"]
    client.delete("/v1/session")
    assert client.get("/v1/recommendations", params={"cursor": cursor}).status_code == 410
    client.app.state.service.flush()
    with Store.open(folder) as store:
        assert store.counts()["sessions"] == 0


def test_an_event_sent_twice_is_one(client):
    answers = [
        client.post("/v1/events", json={"kind": "like", "item": "00003", "id": "e1"}) for _ in range(2)
    ]
    assert [one.json()["events"][0]["is_new"] for one in answers] == [True, False]
    assert len(client.get("/v1/events").json()["events"]) == 1


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("0001-01-01T00:00:00+05:00", 422),  # which UTC has not
        ("1969-12-31T23:59:59Z", 422),
        ("2020-05-01T00:00:00+02:00", 201),
        ("2999-01-01T00:00:00Z", 422),
        ("9999-12-31T23:59:59-05:00", 422),
    ],
)
def test_an_event_is_of_the_past(client, time, status):
    assert (
        client.post("/v1/events", json={"kind": "like", "item": "00003", "time": time}).status_code == status
    )


def test_an_id_of_another_event_is_a_conflict(client):
    client.post("/v1/events", json={"kind": "like", "item": "00003", "id": "e1"})
    answer = client.post("/v1/events", json={"kind": "like", "item": "00004", "id": "e1"})
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("conflict")


def test_of_events_with_an_unknown_item_none_is_kept(client):
    answer = client.post(
        "/v1/events", json=[{"kind": "like", "item": "00003"}, {"kind": "like", "item": "x"}]
    )
    assert answer.status_code == 404
    assert client.get("/v1/session").json()["liked"] == []


def test_lists_are_kept_as_they_were_shown(client, folder):
    client.post("/v1/events", json={"kind": "like", "item": "00001"})
    answers = [
        client.get("/v1/recommendations", params={"model": "visrank", "k": 4, "filter": "price>=5"}).json()
    ]
    answers.append(
        client.get("/v1/recommendations", params={"cursor": answers[0]["next_cursor"], "k": 4}).json()
    )
    client.app.state.service.flush()
    with Store.open(folder) as store:
        kept = list(store.shown())
    for one, answer in zip(kept, answers, strict=True):
        assert one.id == answer["recommendation_id"]
        assert [(item.item, item.score) for item in one.items] == [
            (i["id"], i["score"]) for i in answer["items"]
        ]
        assert (one.model, one.run) == ("visrank", answer["run"])
        assert one.settings["filters"] == ["price>=5"]
        assert one.session == client.cookies["visrec_session"]
    assert [one.settings["first"] for one in kept] == [1, 5]


def test_whether_a_list_was_shown_is_told_and_the_event_kept_all_the_same(opened):
    client = opened()
    known = client.get("/v1/recommendations?model=popularity").json()["recommendation_id"]
    client.app.state.service.flush()
    for service in (client, opened()):  # the second one knows it from the database alone
        event = {"kind": "click", "item": "00001", "recommendation_id": known}
        assert service.post("/v1/events", json=event).json()["events"][0]["recommendation_known"] is True
    event = {"kind": "click", "item": "00001", "recommendation_id": "another"}
    assert client.post("/v1/events", json=event).json()["events"][0]["recommendation_known"] is False
    assert client.get("/v1/events").json()["events"][-1]["recommendation_id"] == "another"


def test_likes_of_items_that_have_gone_do_not_stand_in_the_way(client, folder):
    client.post("/v1/events", json={"kind": "like", "item": "00001"})
    from visrec.feedback.events import Event

    with Store.open(folder) as store:
        store.record_event(Event(session=client.cookies["visrec_session"], item="gone", kind="like"))
    assert client.get("/v1/session").json()["liked"] == ["00001"]
    assert shown(client, model="visrank")


# ---- programs ----------------------------------------------------------------------------------------------


def test_a_program_names_its_sessions(opened):
    client = opened(token=TOKEN, headers=PROGRAM)
    assert client.post("/v1/events", json={"kind": "like", "item": "00001"}).status_code == 201
    assert client.get("/v1/session").json()["liked"] == ["00001"]
    assert client.get("/v1/session", headers={"Visrec-Session": "b-session-of-a-test"}).json()["liked"] == []
    assert "visrec_session" not in client.cookies


@pytest.mark.parametrize("name", ["short", "with a space in between", "x" * 65])
def test_a_session_that_could_be_guessed_is_refused(opened, name):
    client = opened(token=TOKEN, headers={**PROGRAM, "Visrec-Session": name})
    assert client.get("/v1/session").status_code == 422


def test_a_program_without_a_session_is_told_so(opened):
    client = opened(token=TOKEN, headers={"Authorization": PROGRAM["Authorization"]})
    answer = client.post("/v1/events", json={"kind": "like", "item": "00001"})
    assert answer.status_code == 422
    assert "Visrec-Session" in answer.json()["detail"]


def test_a_service_that_is_read_only_keeps_nothing(opened, folder):
    client = opened(read_only=True)
    for answer in (
        client.post("/v1/events", json={"kind": "like", "item": "00001"}),
        client.delete("/v1/session"),
        client.post("/v1/reload"),
    ):
        assert answer.status_code == 403
    assert shown(client, user="u0001")
    assert client.get("/v1/session").json() == {"liked": [], "hidden": []}
    assert not (folder / "feedback.db").exists()


def test_a_service_made_read_only_still_knows_what_was_liked(opened):
    opened(headers={**OURS, "Cookie": f"visrec_session={'s' * 32}"}).post(
        "/v1/events", json={"kind": "like", "item": "00001"}
    ).raise_for_status()
    client = opened(read_only=True, headers={**OURS, "Cookie": f"visrec_session={'s' * 32}"})
    assert client.get("/v1/session").json()["liked"] == ["00001"]
