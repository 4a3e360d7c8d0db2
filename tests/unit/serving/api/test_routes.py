"""What the routes of the REST service answer."""

from __future__ import annotations

import io
import json
import threading
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from .conftest import MODELS, OURS, train


def problem(answer, status, words):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def picture_of(engine, item: str) -> bytes:
    file = io.BytesIO()
    engine.catalog.open(item).save(file, "PNG")
    return file.getvalue()


# ---- lists -------------------------------------------------------------------------------------------------


def test_a_list_has_what_a_page_needs(client, engine):
    answer = client.get("/v1/recommendations", params={"user": "u/2 ä", "k": 2, "model": "bpr"}).json()
    expected = engine.person("u/2 ä")
    assert answer["user"] == expected.id
    assert answer["run"] == engine.digest
    first = answer["items"][0]
    item = engine.item(engine.catalog.items.index(first["id"]))
    assert (first["title"], first["creator"], first["rank"]) == (item.title, item.creator, 1)
    assert first["reasons"] is None
    picture = client.get(first["picture"])
    assert picture.headers["content-type"] == "image/webp"


def test_get_and_post_say_the_same(client):
    query = {
        "model": "visrank",
        "item": ["00001", "00002"],
        "exclude": ["00003"],
        "filter": ["price>=5", "price<60"],
        "diversity": 0.4,
        "k": 7,
    }
    body = {
        "model": "visrank",
        "history": ["00001", {"item": "00002", "weight": 1}],
        "exclude": ["00003"],
        "filters": ["price>=5", "price<60"],
        "diversity": 0.4,
        "k": 7,
    }
    asked = client.get("/v1/recommendations", params=query).json()["items"]
    assert asked == client.post("/v1/recommendations", json=body).json()["items"]
    assert len(asked) == 7


def test_nobody_is_offered_what_most_people_took(client):
    assert client.get("/v1/recommendations").json()["model"] == "popularity"


def test_reasons_come_on_request(client):
    answer = client.get("/v1/recommendations?item=00001&item=00002&model=visrank&reasons=true&k=3").json()
    for one in answer["items"]:
        assert one["reasons"]["because"]
        assert {near["item"] for near in one["reasons"]["nearest"]} == {"00001", "00002"}
        assert all(-1.001 <= near["similarity"] <= 1.001 for near in one["reasons"]["nearest"])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("user=u9999", 404, "Unknown user 'u9999'"),
        ("item=i", 404, "Unknown item 'i'"),
        ("user=u0001&model=vbpr", 422, "There is no model 'vbpr'"),
        ("item=00001&model=bpr", 422, "choose one of item_knn, ease, visrank"),
        ("user=u0001&filter=colour=red", 422, "no column 'colour'"),
        ("user=u0001&filter=red", 422, "is none; expected a column"),
        ("user=u0001&k=0", 422, "query.k"),
        ("user=u0001&k=101", 422, "query.k"),
        ("user=u0001&diversity=2", 422, "query.diversity"),
        ("cursor=AAAA", 400, "not one that this service gave"),
    ],
)
def test_what_cannot_be_answered_says_why(client, query, status, words):
    problem(client.get(f"/v1/recommendations?{query}"), status, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"histroy": ["00001"]}, "histroy"),
        ({"history": [{"item": "00001", "weight": "much"}]}, "weight"),
        ({"history": [True]}, "history"),
        ({"history": ["\ud800"]}, "not valid Unicode"),
        ({"history": ["a\0"]}, "NUL"),
        ({"history": [2**70]}, "history"),
        ({"pictures": [{"name": "../../etc/passwd"}]}, "name"),
    ],
)
def test_a_body_that_is_none_says_where(client, body, words):
    answer = client.post(
        "/v1/recommendations", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert words in answer.text


# ---- pictures ------------------------------------------------------------------------------------------------


def test_uploaded_pictures_count_as_the_items_they_show(client, engine):
    files = [("pictures", ("a.png", picture_of(engine, item))) for item in ("00007", "00009")]
    question = {
        "model": "visrank",
        "k": 20,
        "history": ["00001"],
        "exclude": ["00007", "00009"],
        "reasons": True,
    }
    answer = client.post(
        "/v1/recommendations/pictures",
        files=files,
        data={"question": json.dumps(question), "weights": ["2", "-1"]},
    )
    history = ["00001", {"item": "00007", "weight": 2}, {"item": "00009", "weight": -1}]
    expected = client.post("/v1/recommendations", json={"model": "visrank", "k": 20, "history": history})
    found, wanted = answer.json()["items"], expected.json()["items"]
    np.testing.assert_allclose([i["score"] for i in found], [i["score"] for i in wanted], atol=1e-3)
    assert {near["item"] for one in found for near in one["reasons"]["nearest"]} == {"00001", "1"}


def test_a_list_for_pictures_has_further_pages(client, engine):
    files = [("pictures", ("a.png", picture_of(engine, "00007")))]
    first = client.post("/v1/recommendations/pictures", files=files, data={"question": '{"k": 5}'}).json()
    assert first["model"] == "visrank"
    second = client.get(
        "/v1/recommendations", params={"cursor": first["next_cursor"], "reasons": True}
    ).json()
    assert second["items"][0]["rank"] == 6
    assert second["items"][0]["reasons"]["nearest"][0]["uploaded"]


def test_items_like_a_picture(client, engine):
    files = [("picture", ("a.png", picture_of(engine, "00007")))]
    answer = client.post("/v1/similar/picture?k=3", files=files).json()
    assert answer["items"][0]["id"] == "00007"
    assert answer["by"] == "color"


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        ({"question": "{"}, 422, "body.question"),
        ({"question": '{"k": 0}'}, 422, "body.question.k"),
        ({"weights": ["1", "2"]}, 422, "2 weights for 1 pictures"),
        ({"weights": ["much"]}, 422, "body.weights"),
        ({"question": '{"model": "item_knn"}'}, 422, "cannot look at an uploaded picture"),
        ({"question": '{"model": "bpr", "user": "u0001"}'}, 422, "a history changes nothing"),
    ],
)
def test_a_form_that_is_none_says_where(client, engine, data, status, words):
    files = [("pictures", ("a.png", picture_of(engine, "00007")))]
    problem(client.post("/v1/recommendations/pictures", files=files, data=data), status, words)


def test_a_picture_in_which_nothing_is_seen_says_so(client):
    answer = client.post("/v1/similar/picture", files=[("picture", ("a.svg", b"<svg/>"))])
    assert answer.status_code == 415


def test_a_picture_is_kept_when_asked_seen_by_its_name_and_removed(client, engine, folder):
    files = [("pictures", ("a.png", picture_of(engine, "00007")))]
    assert not (folder / "uploads").exists()
    (kept,) = client.post("/v1/pictures", files=files).json()["pictures"]
    assert Image.open(io.BytesIO(client.get(kept["url"]).content)).format == "WEBP"
    question = {"pictures": [{"name": kept["name"]}], "model": "visrank", "k": 1}
    assert client.post("/v1/recommendations", json=question).json()["items"][0]["id"] == "00007"
    assert client.delete(kept["url"]).status_code == 204
    problem(client.get(kept["url"]), 404, "no kept picture")
    problem(client.post("/v1/recommendations", json=question), 404, "no kept picture")


def test_where_pictures_are_not_kept_they_are_refused(opened, engine):
    client = opened(max_kept_bytes=0)
    files = [("pictures", ("a.png", picture_of(engine, "00007")))]
    problem(client.post("/v1/pictures", files=files), 403, "keeps no pictures")


# ---- items, users, models --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "by", [None, "color", *(name for name in MODELS if name not in ("random", "popularity"))]
)
def test_items_like_one(client, engine, by):
    index = engine.catalog.items.index("00007")
    try:
        expected = [engine.shelf.ids[one.index] for one in engine.similar(index, 4, by=by)]
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        assert client.get("/v1/similar", params={"item": "00007", "by": by}).status_code == 422
        return
    answer = client.get("/v1/similar", params={"item": "00007", "k": 4} | ({"by": by} if by else {})).json()
    assert [one["id"] for one in answer["items"]] == expected
    assert answer["by"] == (by or "color")


def test_who_does_not_compare_items_says_so(client):
    problem(client.get("/v1/similar?item=00007&by=popularity"), 422, "does not compare items")
    problem(client.get("/v1/similar?item=00007&by=resnet50"), 422, "There are random, popularity")


def test_items_by_words_and_filters_a_page_at_a_time(client, engine):
    title = engine.item(7).title
    answer = client.get("/v1/items", params={"q": title, "n": 200}).json()
    assert "00007" in [one["id"] for one in answer["items"]]
    found, start = [], 0
    while start is not None:
        answer = client.get("/v1/items", params={"filter": "price>=5", "start": start, "n": 7}).json()
        found += [one["id"] for one in answer["items"]]
        start = answer["next_start"]
    assert found == [f"{n:05d}" for n in range(0, 80, 4)]
    assert answer["total"] == 20
    assert {"name": "price", "holds": "number"} in answer["columns"]


def test_an_item_and_who_took_it(client, engine):
    answer = client.get("/v1/items/00008").json()
    assert answer["metadata"]["price"] == "13"
    assert answer["n_users"] == int((engine.run.data.interactions.item == 8).sum())
    problem(client.get("/v1/items/a/b"), 404, "Unknown item 'a/b'")


def test_a_user_whose_id_has_a_slash(client, engine):
    person = engine.person("u/2 ä")
    answer = client.get(f"/v1/users/{quote('u/2 ä', safe='')}", params={"n": 2}).json()
    assert answer["n_history"] == len(person.history)
    assert [one["id"] for one in answer["history"]] == [engine.shelf.ids[i] for i in person.history[:2]]
    assert [one["id"] for one in answer["held_out"]] == [engine.shelf.ids[i] for i in person.took]
    assert client.get("/v1/users?q=/2").json() == {"total": 1, "users": [{"id": "u/2 ä"}], "next_start": None}
    assert client.get("/v1/users?n=3&start=38").json()["next_start"] is None


def test_models_say_what_they_can(client, engine):
    answer = client.get("/v1/models").json()
    assert answer["best"] == engine.best_model
    can = {one["name"]: one for one in answer["models"]}
    assert list(can) == list(MODELS)
    assert [n for n in can if can[n]["pictures"]] == ["visrank"]
    assert [n for n in can if can[n]["weights"]] == ["item_knn", "ease", "visrank"]
    assert [n for n in can if can[n]["follows_likes"]] == ["item_knn", "ease", "visrank"]
    metric = engine.reports["bpr"].metrics["ndcg@5"]
    assert can["bpr"]["metrics"]["ndcg@5"] == {"mean": metric.mean, "low": metric.low, "high": metric.high}
    assert client.get("/v1/metrics").json()["models"]["bpr"] == can["bpr"]["metrics"]


# ---- the service -----------------------------------------------------------------------------------------


def test_health_and_counters(client, engine):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert (ready["run"], ready["models"], ready["database"]) == (engine.digest, list(MODELS), "sqlite")
    assert ready["search"]["bpr"] == {"kind": "exact", "recall": {}}
    client.get("/v1/recommendations?user=u0001&model=bpr")
    client.post("/v1/events", json={"kind": "like", "item": "00001"})
    text = client.get("/metrics").text
    assert 'visrec_recommendation_seconds_count{model="bpr"} 1.0' in text
    assert 'visrec_events_total{kind="like"} 1.0' in text
    assert "u0001" not in text


def test_a_run_that_cannot_be_loaded_changes_nothing(opened, folder, tmp_path):
    link = tmp_path / "served"
    link.symlink_to(folder, target_is_directory=True)
    client = opened(path=link)
    before = client.get("/readyz").json()["run"]
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    answer = client.post("/v1/reload")
    problem(answer, 409, "is not a run folder")
    assert str(tmp_path) not in answer.text
    assert client.get("/v1/recommendations?user=u0001").json()["run"] == before


def test_new_items_come_with_a_run_without_a_restart(opened, shop, folder, tmp_path):
    import shutil

    import polars as pl

    data = shutil.copytree(shop, tmp_path / "more")
    items = pl.read_csv(data / "items.csv", infer_schema=False)
    row = items[0].with_columns(pl.lit("new-1").alias("item_id"), pl.lit("Brand-new").alias("title"))
    pl.concat([items, row]).write_csv(data / "items.csv")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(
        data / "images" / "new-1.png"
    )
    link = tmp_path / "served"
    link.symlink_to(folder, target_is_directory=True)
    client = opened(path=link)
    client.post("/v1/events", json={"kind": "like", "item": "00001"})
    assert client.get("/v1/items/new-1").status_code == 404
    train(data, tmp_path / "next", ("popularity", "visrank"))
    link.unlink()
    link.symlink_to(tmp_path / "next", target_is_directory=True)
    assert client.post("/v1/reload").json()["n_items"] == 81
    assert client.get("/v1/items/new-1").json()["title"] == "Brand-new"
    answer = client.get("/v1/recommendations?model=visrank&k=100").json()
    assert "new-1" in [one["id"] for one in answer["items"]]  # and what was liked before counts still
    assert client.get("/pictures/160/new-1").headers["content-type"] == "image/webp"


def test_answers_stay_whole_while_runs_are_swapped(opened, shop, folder, tmp_path):
    """Under questions from four threads: every list is that of the run that it names."""
    other = train(shop, tmp_path / "other", ("visrank",), features={"extractor": "attractiveness"})
    link = tmp_path / "served"
    link.symlink_to(folder, target_is_directory=True)
    client = opened(path=link)
    asked = "/v1/recommendations?item=00001&model=visrank&k=30"
    expected = {}
    for target in (folder, other):
        link.unlink()
        link.symlink_to(target, target_is_directory=True)
        client.post("/v1/reload").raise_for_status()
        answer = client.get(asked).json()
        expected[answer["run"]] = answer["items"]
    assert len(expected) == 2
    done, wrong, seen = threading.Event(), [], set()

    def ask():
        while not done.is_set():
            answer = client.get(asked)
            found = answer.json()
            seen.add(found.get("run"))
            if answer.status_code != 200 or found["items"] != expected[found["run"]]:
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for target in (folder, other) * 3:
        link.unlink()
        link.symlink_to(target, target_is_directory=True)
        client.post("/v1/reload").raise_for_status()
    done.set()
    for one in threads:
        one.join()
    assert wrong == []
    assert seen == set(expected)


def test_openapi_documents_every_route_with_its_problems(client):
    document = client.get("/v1/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert route["summary"], (path, method)
            assert "application/problem+json" in route["responses"]["default"]["content"], (path, method)
            for parameter in route.get("parameters", []):
                assert parameter.get("description") or parameter["in"] == "path", (path, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        for field, about in schema.get("properties", {}).items():
            assert about.get("description"), (name, field)


def test_a_program_without_the_token_may_read_and_not_write(opened):
    client = opened(headers={})
    assert client.get("/v1/recommendations?user=u0001").status_code == 200
    assert client.post("/v1/recommendations", json={"history": ["00001"]}).status_code == 200
    problem(client.post("/v1/events", json={"kind": "like", "item": "00001"}), 403, "need a token")
    assert opened(headers=OURS).post("/v1/events", json={"kind": "like", "item": "00001"}).status_code == 201
