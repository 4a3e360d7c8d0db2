"""What a session said beside a question, and what waits for whom."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from visrec.feedback.events import Opinions
from visrec.serving import looks
from visrec.serving.looks import Looks
from visrec.serving.problems import ProblemError
from visrec.serving.question import Question
from visrec.serving.service import MOST_LIKED, with_opinions


def test_of_very_many_likes_the_newest_count_and_none_of_them_is_in_a_list():
    items = tuple(f"i{n}" for n in range(MOST_LIKED + 3))
    asked = with_opinions(Question("m", liked=("mine",)), Opinions(liked=items))
    assert asked.liked == (*items[3:], "mine")
    assert set(items) <= set(asked.exclude)


def test_a_like_of_no_weight_is_none_to_a_model_that_cannot_weigh():
    said = Opinions(liked=("a", "b", "c"), weights={"b": -1.0, "c": 0.0})
    asked = with_opinions(Question("m"), said, weighs=False)
    assert (asked.liked, asked.weights) == (("a",), None)
    assert {"b", "c"} <= set(asked.exclude)
    asked = with_opinions(Question("m"), said, weighs=True)
    assert (asked.liked, asked.weights) == (("a", "b", "c"), (1.0, -1.0, 0.0))


def test_few_wait_for_pictures_to_be_looked_at(monkeypatch):
    begun, ended = threading.Semaphore(0), threading.Event()

    def encode(_extractor, pictures):
        begun.release()
        ended.wait(30)
        return np.ones((len(pictures), 2), dtype=np.float32)

    class Few:
        values = np.ones((1, 2), dtype=np.float32)

    monkeypatch.setattr(looks, "encode_with", encode)
    monkeypatch.setattr(looks, "extractor_of", lambda _: None)
    monkeypatch.setattr(looks, "finish", lambda _, raw: raw)
    monkeypatch.setattr(looks, "_MOST_WAITING", 1)
    found = Looks(Few())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(found.encode, [None])
        assert begun.acquire(timeout=30)
        with pytest.raises(ProblemError) as caught:
            found.encode([None])
        ended.set()
        assert first.result(30).shape == (1, 2)
    assert caught.value.problem.status == 503
    assert found.encode([None]).shape == (1, 2)  # the place is free again
