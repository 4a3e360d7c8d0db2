"""A study from consent to withdrawal, as its participants and its researcher see it."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from visrec.errors import ConfigError
from visrec.feedback.store import Store
from visrec.serving.app import create_app
from visrec.serving.engine import Engine
from visrec.serving.settings import ServiceSettings
from visrec.serving.study import check_models, checked_answers
from visrec.serving.study_config import QuestionConfig, StudyConfig

EXAMPLE = Path(__file__).parents[4] / "examples" / "study.toml"
TOKEN = "a-token-that-nobody-guesses"
STUDY = """
name = "small"
title = "A small study"
likes = 2
wall = 12
lists = 2
items = 4
[consent]
text = "We keep what you like."
[conditions]
models = ["visrank", "item_knn"]
[[questions]]
id = "fit"
text = "Did it fit?"
points = 5
[[questions]]
id = "remarks"
text = "Anything else?"
kind = "text"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The study's file."""
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def visitor(opened: Any, file: Path, folder: Path) -> Any:
    """`visitor()`: a browser of its own, of the same service."""
    first = opened(study=file)

    def make() -> Any:
        from fastapi.testclient import TestClient

        return TestClient(first.app, base_url="http://127.0.0.1:8000", headers=dict(first.headers))

    return make


def like(client: Any, n: int) -> list[str]:
    """Like the first n pictures of the wall; their ids."""
    page = client.get("/study").text
    items = re.findall(r'data-item="([^"]+)"', page)[:n]
    for item in items:
        client.post("/study/act", data={"kind": "like", "item": item})
    return items


def listed(client: Any) -> tuple[str, list[str]]:
    """The list that is shown: its id, its items in order."""
    page = client.get("/study").text
    shown = re.search(r'name="shown" value="([^"]+)"', page)
    assert shown is not None
    return shown[1], re.findall(r'data-item="([^"]+)"', page)


def rows(client: Any, table: str = "items", **headers: str) -> list[dict[str, str]]:
    answer = client.get("/study/export.csv", params={"table": table}, headers=headers)
    assert answer.status_code == 200
    return list(csv.DictReader(answer.text.splitlines()))


def take_part(client: Any, n: int = 2) -> None:
    client.post("/study/consent", data={"version": "1", "agreed": "yes"})
    like(client, n)
    client.post("/study/next", data={"after": 0})


def test_nobody_takes_part_without_agreeing(visitor: Any) -> None:
    client = visitor()
    assert "We keep what you like." in client.get("/study").text
    page = client.post("/study/consent", data={"version": "1"})
    assert "Please tick the box first" in page.text
    client.post("/study/act", data={"kind": "like", "item": "00001"})
    assert rows(client, "participants") == rows(client, "events") == []


def test_lists_come_after_enough_likes_and_show_no_picture_twice(visitor: Any) -> None:
    client = visitor()
    client.post("/study/consent", data={"version": "1", "agreed": "yes"})
    liked = like(client, 1)
    assert client.post("/study/next", data={"after": 0}).status_code == 409
    liked = like(client, 2)
    client.post("/study/next", data={"after": 0})
    _, first = listed(client)
    client.post("/study/next", data={"after": 1})
    _, second = listed(client)
    assert len(first) == len(second) == 4
    assert not (set(first) & set(second)) | (set(liked) & {*first, *second})


def test_a_list_that_is_asked_for_twice_is_made_once(visitor: Any) -> None:
    client = visitor()
    take_part(client)
    before = listed(client)
    client.post("/study/next", data={"after": 0})  # the button, pressed again
    assert listed(client) == before
    assert len(rows(client)) == 4


def test_what_is_hidden_is_in_no_later_list(visitor: Any) -> None:
    client = visitor()
    client.post("/study/consent", data={"version": "1", "agreed": "yes"})
    items = re.findall(r'data-item="([^"]+)"', client.get("/study").text)
    for item in items[:2]:
        client.post("/study/act", data={"kind": "like", "item": item})
    client.post("/study/next", data={"after": 0})
    shown, first = listed(client)
    client.post("/study/act", data={"kind": "hide", "item": first[0], "shown": shown})
    client.post("/study/next", data={"after": 1})
    assert first[0] not in listed(client)[1]


def test_conditions_are_balanced_and_explanations_are_where_they_belong(visitor: Any) -> None:
    clients = [visitor() for _ in range(8)]
    for client in clients:
        take_part(client)
    found = rows(clients[0], "participants")
    counts = Counter(one["condition"] for one in found)
    assert counts == dict.fromkeys(
        [f"{model}, {how}" for model in ("visrank", "item_knn") for how in ("explained", "not explained")], 2
    )
    for one in rows(clients[0]):
        assert bool(one["reason"]) == (one["explanation"] == "yes")
        assert one["condition"].startswith(one["model"])
    explained = sum('class="reason"' in client.get("/study").text for client in clients)
    assert explained == 4


def test_the_table_has_a_row_for_each_shown_item_with_what_was_done_to_it(visitor: Any) -> None:
    client = visitor()
    take_part(client)
    shown, items = listed(client)
    for kind, item in (("click", items[2]), ("click", items[2]), ("like", items[2]), ("hide", items[0])):
        client.post("/study/act", data={"kind": kind, "item": item, "shown": shown})
    found = rows(client)
    assert [(one["item_id"], one["rank"], one["round"]) for one in found] == [
        (item, str(place), "1") for place, item in enumerate(items, start=1)
    ]
    assert [(one["n_click"], one["n_like"], one["n_hide"]) for one in found] == [
        ("0", "0", "1"),
        ("0", "0", "0"),
        ("2", "1", "0"),
        ("0", "0", "0"),
    ]
    assert found[2]["time"] < found[2]["first_click"] < found[2]["first_like"]
    scores = [float(one["score"]) for one in found]
    assert scores == sorted(scores, reverse=True)
    wall = [one for one in rows(client, "events") if '"wall"' in one["extra"]]
    assert len(wall) == 2


def test_somebody_elses_list_is_refused(visitor: Any) -> None:
    mine, other = visitor(), visitor()
    take_part(mine)
    take_part(other)
    shown, items = listed(other)
    answer = mine.post("/study/act", data={"kind": "like", "item": items[0], "shown": shown})
    assert answer.status_code == 409


def test_answers_are_asked_for_until_they_are_there_and_kept_once(visitor: Any) -> None:
    client = visitor()
    take_part(client)
    assert "Did it fit?" not in client.get("/study/questions").text  # not before the last list
    client.post("/study/next", data={"after": 1})
    assert "Did it fit?" in client.post("/study/next", data={"after": 2}).text
    wrong = client.post("/study/questions", data={"q-fit": "6", "q-remarks": "fine"})
    assert wrong.status_code == 422
    assert "from 1 to 5" in wrong.text
    assert "fine" in wrong.text  # what was written is not lost
    done = client.post("/study/questions", data={"q-fit": "4", "q-remarks": "=1+1"})
    assert "Your code" in done.text
    client.post("/study/questions", data={"q-fit": "1"})
    assert [(one["question"], one["answer"]) for one in rows(client, "answers")] == [
        ("fit", "4"),
        ("remarks", "'=1+1"),  # which no spreadsheet computes
    ]


def test_withdrawing_by_code_deletes_everything_of_that_participant_alone(visitor: Any, folder: Path) -> None:
    leaving, staying = visitor(), visitor()
    take_part(leaving)
    take_part(staying)
    code, other = (one["participant"] for one in rows(staying, "participants"))
    stranger = visitor()  # another browser: the code is all that it needs
    assert stranger.post("/study/withdraw", data={"code": "p-000000000000"}).status_code == 404
    assert "deleted" in stranger.post("/study/withdraw", data={"code": f" {code.upper()} "}).text
    for table in ("participants", "shown", "events", "items"):
        assert {one["participant"] for one in rows(staying, table)} == {other}
    with Store.open(folder) as store:
        assert store.counts()["sessions"] == 1
    assert "We keep what you like." in leaving.get("/study").text


def test_tables_of_a_service_with_a_token_need_it_and_taking_part_does_not(opened: Any, file: Path) -> None:
    client = opened(study=file, token=TOKEN)
    take_part(client)
    assert client.get("/study/export.csv").status_code == 401
    assert client.get("/study/export.csv", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert len(rows(client, Authorization=f"Bearer {TOKEN}")) == 4


def test_without_a_study_there_is_none(opened: Any) -> None:
    assert opened().get("/study").status_code == 404


def test_a_model_that_knows_only_its_own_people_is_refused_at_the_start(folder: Path, file: Path) -> None:
    file.write_text(STUDY.replace('"item_knn"', '"bpr"'))
    with pytest.raises(ConfigError, match=r"'bpr', which cannot.*item_knn"):
        create_app(folder, ServiceSettings(study=file))
    file.write_text(STUDY.replace('"item_knn"', '"vpbr"'))
    with pytest.raises(ConfigError, match="compares 'vpbr', but the run has"):
        create_app(folder, ServiceSettings(study=file))


def test_a_service_that_may_not_write_holds_no_study(folder: Path, file: Path) -> None:
    with pytest.raises(ConfigError, match="read_only"):
        create_app(folder, ServiceSettings(study=file, read_only=True))


def test_a_catalogue_that_is_too_small_is_refused(engine: Engine) -> None:
    study = StudyConfig.from_toml(EXAMPLE).replace(lists=20, items=5)
    with pytest.raises(ConfigError, match=r"needs 105 pictures.*has 80"):
        check_models(study, engine)


def test_the_example_is_a_study_of_four_conditions() -> None:
    study = StudyConfig.from_toml(EXAMPLE).study
    assert [(one.model, one.explanation) for one in study.conditions] == [
        ("visrank", True),
        ("visrank", False),
        ("item_knn", True),
        ("item_knn", False),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("likes = 2", "like = 2"), "unknown setting 'like'"),
        (("likes = 2", "likes = 0"), "'likes' is 0"),
        (('name = "small"', 'name = "a b"'), "'name' is 'a b'"),
        (('id = "remarks"', 'id = "fit"'), "two questions have the id 'fit'"),
        (('"item_knn"', '"visrank"'), "names one twice"),
        (("points = 5", "points = 1"), "'points' is 1"),
        (('text = "We keep what you like."', ""), "'text' is missing"),
    ],
)
def test_a_wrong_file_is_told_in_a_line(file: Path, change: tuple[str, str], message: str) -> None:
    file.write_text(STUDY.replace(*change))
    with pytest.raises(ConfigError, match=message) as told:
        StudyConfig.from_toml(file)
    assert str(file) in str(told.value)


def test_free_text_may_be_left_out_and_is_not_endless() -> None:
    asked = (QuestionConfig(id="a", text="?"), QuestionConfig(id="b", text="?", kind="text"))
    assert checked_answers(asked, {"a": "7"}) == ({"a": 7}, {})
    assert checked_answers(asked, {"a": "3", "b": "x" * 2001})[1].keys() == {"b"}
    assert checked_answers(asked, {"b": "well"}) == ({"b": "well"}, {"a": "Please answer this one."})
