"""A new run is swapped in while questions are asked: every answer is wholly of one run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from visrec.experiment import Experiment
from visrec.runs import run
from visrec.serving.engine import Engine, Question

from .test_serve import TOKEN, running

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
MODELS = ("random", "bpr")


@pytest.fixture(scope="module")
def runs(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of the same people and items, with different lists."""
    folders = [tmp_path_factory.mktemp("runs") / name for name in "ab"]
    for seed, folder in enumerate(folders):
        models: dict[str, dict[str, Any]] = {"random": {}, "bpr": {"epochs": 2, "dim_gamma": 4}}
        run(Experiment(data={"path": str(shop)}, models=models, seed=seed), folder)
    return folders


def point(link: Path, target: Path) -> None:
    """Have a link point elsewhere, in one step."""
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


@pytest.mark.slow
def test_answers_are_of_one_run_while_runs_are_swapped(runs: list[Path], tmp_path: Path) -> None:
    engines = [Engine.open(folder) for folder in runs]
    users = [f"u{number:04}" for number in range(0, 40, 4)]
    asked = [(user, model) for user in users for model in MODELS]
    right = {
        (engine.digest, user, model): [
            (engine.item(one.index).id, one.score)
            for one in engine.recommend(Question(model=model, user=user, k=20))
        ]
        for engine in engines
        for user, model in asked
    }
    link, ended = tmp_path / "current", threading.Event()
    point(link, runs[0])
    answers: list[httpx.Response | Exception] = []

    def ask(address: str) -> None:
        with httpx.Client(base_url=address, headers=HEADERS) as client:
            while not ended.is_set():
                user, model = asked[len(answers) % len(asked)]
                try:
                    answers.append(client.get("/v1/recommendations", params={"user": user, "model": model}))
                except httpx.HTTPError as error:
                    answers.append(error)
                    return

    with running("serve", link, "--port", 0, VISREC_TOKEN=TOKEN) as (address, _):
        threads = [threading.Thread(target=ask, args=(address,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 7):
                before = len(answers)
                point(link, runs[number % 2])
                told = httpx.post(f"{address}v1/reload", headers=HEADERS, timeout=60)
                assert told.json()["run"] == engines[number % 2].digest
                while len(answers) < before + 20 and any(thread.is_alive() for thread in threads):
                    ended.wait(0.01)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert len(answers) >= 120
    seen = set()
    for answer in answers:
        assert isinstance(answer, httpx.Response), answer
        assert answer.status_code == 200, answer.text
        found = answer.json()
        lists = [(one["id"], pytest.approx(one["score"], rel=1e-6)) for one in found["items"]]
        assert right[found["run"], found["user"], found["model"]] == lists
        seen.add(found["run"])
    assert seen == {engine.digest for engine in engines}
    assert right[engines[0].digest, *asked[0]] != right[engines[1].digest, *asked[0]]
