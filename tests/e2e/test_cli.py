from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from visrec import registry
from visrec.evaluation.protocol import VERSION
from visrec.evaluation.significance import bootstrap

MODELS = ["random", "popularity", "item_knn", "visrank", "bpr", "vbpr"]


def test_help_is_light_and_lists_every_command(visrec):
    code = (
        "import sys, resource\n"
        "sys.argv = ['visrec', '--help']\n"
        "from visrec.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "libraries = ('torch', 'torchvision', 'timm', 'numba', 'numpy', 'polars')\n"
        "heavy = [name for name in libraries if name in sys.modules]\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('HEAVY', heavy, used.ru_utime + used.ru_stime, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed = [
        line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line[:3].strip()
    ]
    assert listed == [
        "demo",
        "run",
        "serve",
        "compare-features",
        "evaluate",
        "compare",
        "tune",
        "recommend",
        "similar",
        "extract",
        "triples",
        "check",
        "fix",
        "stats",
        "models",
        "extractors",
        "datasets",
        "formats",
        "convert",
        "export",
        "fetch-images",
        "map",
        "study",
    ]
    assert "HEAVY []" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["--version", "models", "extractors", "datasets", "formats", "demo --help", "models --help"],
)
def test_what_only_lists_loads_no_library_that_computes(command):
    code = (
        "import sys\n"
        "from visrec.cli import main\n"
        f"try:\n    main({command.split()!r})\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'torchvision', 'timm', 'numba', 'numpy', 'polars', 'scipy', 'cv2', 'PIL'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout
    assert "HEAVY []" in done.stderr


def test_importing_visrec_loads_nothing_heavy():
    code = (
        "import visrec, sys; print([n for n in ('torch', 'numpy', 'polars', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_run_writes_a_folder_that_describes_itself(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "experiment.toml", "data.json", "features", "models", "report.json", "per_user.parquet", "report.html",
        "plots",
    }  # fmt: skip
    report = json.loads((finished / "report.json").read_text())
    assert list(report["models"]) == MODELS
    for name in MODELS:
        auc = report["models"][name]["metrics"]["auc"]
        assert 0 <= auc["low"] <= auc["mean"] <= auc["high"] <= 1
        files = {path.name for path in (finished / "models" / name).iterdir()}
        assert files == {"model.safetensors", "config.json", "ids.parquet", "training.jsonl"}
        assert len({path.stat().st_mode for path in (finished / "models" / name).iterdir()}) == 1
    provenance = report["provenance"]
    assert provenance["protocol"]["split"]["name"] == "by_evaluation"
    assert provenance["features"]["extractor"] == "color"
    assert {"torch", "numpy", "visrec"} <= provenance["versions"].keys()
    assert set(provenance["models"]["vbpr"]) >= {"digest", "fingerprint", "seconds"}
    per_user = pl.read_parquet(finished / "per_user.parquet")
    assert per_user.group_by("model").len()["len"].unique().len() == 1  # every model on the same users
    lines = (finished / "models" / "vbpr" / "training.jsonl").read_text().splitlines()
    assert {"epoch", "loss", "valid", "learning_rate"} <= json.loads(lines[0]).keys()


def test_a_second_run_does_only_what_is_missing(visrec, shop, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    stamps = {name: (run / "models" / name / "model.safetensors").stat().st_mtime_ns for name in MODELS}
    before = json.loads((run / "report.json").read_text())
    shutil.rmtree(run / "models" / "bpr")
    visrec("run", shop, "--models", ",".join(MODELS), "--extractor", "color", "--out", run)
    after = json.loads((run / "report.json").read_text())
    assert after["models"] == before["models"]
    for name in MODELS:
        same = (run / "models" / name / "model.safetensors").stat().st_mtime_ns == stamps[name]
        assert same == (name != "bpr")


def test_compare_writes_each_format_to_the_terminal_or_a_file(here, finished, tmp_path):
    words = ("compare", finished, "--metric", "ndcg@20,auc", "--baseline", MODELS[0])
    table = here(*words).stdout
    assert table.count("baseline") == 2
    assert all(name in table for name in MODELS)
    for name, sign in (("t.md", "| --- |"), ("t.tex", "tabular"), ("t.csv", "p_holm,"), ("t.json", '"rows"')):
        done = here(*words, "--out", tmp_path / name)
        text = (tmp_path / name).read_text()
        assert done.stdout == f"{tmp_path / name}\n"
        assert sign in text
        chosen = {"t.md": "md", "t.tex": "latex", "t.csv": "csv", "t.json": "json"}[name]
        assert here(*words, "--format", chosen).stdout == text


def test_compare_says_what_it_does_not_know(here, finished, tmp_path):
    assert "table, md, latex, csv, json" in here("compare", finished, "--format", "xml", status=2).stderr
    assert "no model 'x'" in here("compare", finished, "--baseline", "x", status=2).stderr
    assert "no experiment.toml" in here("compare", tmp_path, status=2).stderr


def test_seeds_of_a_run_are_one_row_with_their_spread(here, shop, tmp_path):
    done = here("run", shop, "--models", "popularity,random", "--seeds", "3", "--out", tmp_path / "run")
    assert "σ standard deviation between 3 seeds" in done.stdout
    content = json.loads((tmp_path / "run" / "report.json").read_text())["models"]
    assert content["random"]["spread"]["auc"]["sd"] > 0
    assert list(content["random"]["seeds"]) == ["0", "1", "2"]
    assert "seeds" not in content["popularity"]


def test_a_later_run_can_add_a_model(here, shop, tmp_path):
    run = tmp_path / "run"
    here("run", shop, "--models", "popularity", "--out", run)
    assert not (run / "features").exists()  # nothing needed them
    here("run", shop, "--models", "visrank", "--extractor", "color", "--out", run)
    assert list(json.loads((run / "report.json").read_text())["models"]) == ["popularity", "visrank"]


def test_a_later_call_keeps_the_evaluation_that_it_does_not_name(here, shop, tmp_path):
    run = tmp_path / "run"
    here("run", shop, "--models", "popularity", "--cutoffs", "3,7", "--protocol", "sampled", "--out", run)
    here("run", shop, "--models", "random", "--out", run)
    content = json.loads((run / "report.json").read_text())
    assert content["provenance"]["protocol"]["name"] == "sampled"
    assert "ndcg@7" in content["models"]["random"]["metrics"]


def test_a_table_is_of_the_protocol_that_was_evaluated_last(here, shop, tmp_path):
    run = tmp_path / "run"
    here("run", shop, "--models", "popularity", "--out", run)
    here("evaluate", run, "--protocol", "sampled")
    sampled = json.loads((run / "report.json").read_text())
    table = here("evaluate", run, "--format", "json").stdout
    assert json.loads((run / "report.json").read_text())["models"] == sampled["models"]
    assert f"{sampled['models']['popularity']['metrics']['auc']['mean']:.4f}"[:5] in table
    here("evaluate", run)  # by its experiment.toml again
    assert json.loads((run / "report.json").read_text())["provenance"]["protocol"]["name"] == "full"


def test_a_run_goes_on_when_the_items_table_has_lost_a_column(here, shop, tmp_path):
    data = shutil.copytree(shop, tmp_path / "data")
    here("run", data, "--models", "popularity", "--out", tmp_path / "run")
    table = pl.read_csv(data / "items.csv", infer_schema=False)
    table.select("item_id", "title").write_csv(data / "items.csv")
    here("run", data, "--models", "random", "--out", tmp_path / "run")
    skipped = json.loads((tmp_path / "run" / "report.json").read_text())["models"]["popularity"]["lens"][
        "skipped"
    ]
    assert "creators" in skipped


def test_a_run_folder_of_another_experiment_is_refused_and_left_alone(here, shop, finished):
    before = (finished / "experiment.toml").read_text()
    done = here("run", shop, "--models", "popularity", "--seed", "7", "--out", finished, status=2)
    assert "seed" in done.stderr
    assert "--out" in done.stderr
    assert (finished / "experiment.toml").read_text() == before


def test_other_settings_of_a_model_give_another_report(here, shop, tmp_path):
    """Its vectors are the same, only how they are pooled is not: an older report must not pass for the new one."""
    found = []
    for method in ("maximum", "average"):
        toml = tmp_path / f"{method}.toml"
        toml.write_text(f'[data]\npath = "{shop}"\n[models.visrank]\nmethod = "{method}"\n')
        here("run", toml, "--out", tmp_path / "run")
        found.append(json.loads((tmp_path / "run" / "report.json").read_text())["models"]["visrank"])
    here("run", tmp_path / "average.toml", "--out", tmp_path / "fresh")
    assert found[0] != found[1]
    assert found[1] == json.loads((tmp_path / "fresh" / "report.json").read_text())["models"]["visrank"]


def test_a_report_of_an_older_protocol_is_made_anew(here, shop, tmp_path, monkeypatch):
    monkeypatch.setattr("visrec.evaluation.protocol.VERSION", 0)
    here("run", shop, "--models", "popularity", "--out", tmp_path / "run")
    monkeypatch.undo()
    here("run", shop, "--models", "popularity", "--out", tmp_path / "run")
    made = json.loads((tmp_path / "run" / "report.json").read_text())
    assert made["provenance"]["protocol"]["version"] == VERSION


def test_a_model_named_again_keeps_the_settings_that_it_had(here, shop, tmp_path):
    (tmp_path / "e.toml").write_text(f'[data]\npath = "{shop}"\n[models.bpr]\ndim_gamma = 5\nepochs = 2\n')
    here("run", tmp_path / "e.toml", "--out", tmp_path / "run")
    here("run", shop, "--models", "bpr,popularity", "--out", tmp_path / "run")
    assert (
        json.loads((tmp_path / "run" / "models" / "bpr" / "config.json").read_text())["config"]["dim_gamma"]
        == 5
    )


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (["--extractor", "colour"], ["--extractor", "color"]),
        (["--min-rating", 3], []),
        (["--split", "by_time", "--extractor", "colour"], ["--split", "by_ratio"]),
    ],
)
def test_a_first_call_that_failed_does_not_stand_in_the_way(here, shop, tmp_path, wrong, right):
    out = tmp_path / "run"
    here("run", shop, "--models", "visrank", "--out", out, *wrong, status=2)
    here("run", shop, "--models", "visrank", "--out", out, *right)
    assert (out / "report.json").is_file()


def test_one_model_that_diverges_does_not_cost_the_others(here, shop, tmp_path):
    (tmp_path / "e.toml").write_text(
        f'[data]\npath = "{shop}"\n[models.bpr]\noptimizer = "sgd"\nlearning_rate = 1e30\n[models.popularity]\n'
    )
    done = here("run", tmp_path / "e.toml", "--out", tmp_path / "run", status=2)
    assert "models.bpr" in done.stderr
    assert "experiment.toml" in done.stderr
    assert list(json.loads((tmp_path / "run" / "report.json").read_text())["models"]) == ["popularity"]


def test_a_finished_run_needs_no_weights_again(here, shop, tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    weights = tmp_path / "w.safetensors"
    save_file(squeezenet1_1().state_dict(), weights)
    words = ["run", shop, "--models", "visrank", "--extractor", "squeezenet1_1", "--weights", weights]
    here(*words, "--out", tmp_path / "run")
    weights.unlink()
    here(*words, "--out", tmp_path / "run")


def test_stages_say_what_is_being_made(tmp_path, shop):
    from contextlib import nullcontext

    from visrec.data.dataset import load_dataset
    from visrec.experiment import Experiment
    from visrec.runs import content_of

    titles = []

    def stage(title):
        titles.append(title)
        return nullcontext(None)

    given = Experiment(data={"path": str(shop)}, images={"size": 16}, models={"popularity": {}})
    content_of(given, load_dataset(shop), tmp_path, {"vector", "regions", "image"}, stage=stage)
    assert titles == ["features: color", "regions: color", "images: pixels"]


def test_paths_in_an_experiment_are_relative_to_it(here, shop, tmp_path):
    (shop.parent / "e.toml").write_text(f'[data]\npath = "{shop.name}"\n[models.popularity]\n')
    here("run", shop.parent / "e.toml", "--out", tmp_path / "run", cwd=tmp_path)


def test_the_page_shows_the_ranking_that_was_judged(finished):
    import visrec
    from visrec.evaluation.protocol import held_out_ranks, top_items

    run = visrec.Run.load(finished)
    for name in ("popularity", "vbpr"):
        model = run.model(name)
        users, ranks = held_out_ranks(model, run.split, "test")
        lists = top_items(model, run.split, users, 80)
        held = run.split.test.histories()
        for row, user in enumerate(users):
            listed = [lists[row].index(item) + 1 for item in held.of(int(user))]
            assert sorted(listed) == sorted(ranks.rank[ranks.owner == row])


def test_the_written_experiment_repeats_the_run(here, finished, tmp_path):
    here("run", finished / "experiment.toml", "--out", tmp_path / "again")
    first, second = (json.loads((run / "report.json").read_text()) for run in (finished, tmp_path / "again"))
    assert first["models"] == second["models"]
    digests = [
        {name: facts["digest"] for name, facts in run["provenance"]["models"].items()}
        for run in (first, second)
    ]
    assert digests[0] == digests[1]


def test_the_table_marks_the_best_of_each_column(here, finished):
    done = here("evaluate", finished)
    assert "*" in done.stdout
    for name in MODELS:
        assert name in done.stdout
    assert "report.html" in done.stdout


def test_a_run_on_few_users_says_everywhere_that_this_is_too_few(here, tmp_path):
    rows = [f"u{u},i{i},{t}" for u in range(3) for t, i in enumerate((u, 3, 4, 5 + u))]
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "interactions.csv").write_text(
        "user_id,item_id,timestamp\n" + "\n".join(rows) + "\n"
    )
    words = ["run", tmp_path / "shop", "--models", "popularity", "--allow-missing-images", "--out"]
    shown = here(*words, tmp_path / "run").stdout
    said = "Only 3 users are evaluated: that is too few to compare models by."
    assert said in shown
    assert said in (tmp_path / "run" / "report.html").read_text()
    protocol = json.loads((tmp_path / "run" / "report.json").read_text())["provenance"]["protocol"]
    assert protocol["n_users"] == 3
    assert protocol["cautions"][0].startswith(said)


def test_slices_are_chosen_by_name_and_stored(here, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    here("evaluate", run, "--slices", "history,style", "--format", "json")
    slices = json.loads((run / "report.json").read_text())["slices"]
    assert list(slices) == ["history", "style"]
    sizes = [one["n_users"] for one in slices["history"]["slices"]]
    n_users = json.loads((run / "report.json").read_text())["models"]["bpr"]["n_users"]
    assert sum(sizes) == n_users
    for one in slices["style"]["slices"]:
        assert one["too_small"] == (one["n_users"] < 30)
        assert set(one["models"]) == set(MODELS)
        assert set(one["models"]["bpr"]["auc"]) == {"mean", "low", "high"}
    assert (run / "plots" / "slices.svg").is_file()
    assert "Who is served how well" in (run / "report.html").read_text(encoding="utf-8")


def test_the_leaderboard_goes_into_a_paper(here, finished, tmp_path):
    report = json.loads((finished / "report.json").read_text())["models"]
    table = here("evaluate", finished, "--format", "md").stdout
    means = dict(re.findall(r"^\| (\w+) \| \*{0,2}([\d.]+)", table, flags=re.MULTILINE))
    assert means == {name: f"{report[name]['metrics']['auc']['mean']:.4f}" for name in MODELS}
    done = here("evaluate", finished, "--format", "latex", "--out", tmp_path / "table.tex")
    assert done.stdout == ""
    assert r"item\_knn & " in (tmp_path / "table.tex").read_text(encoding="utf-8")


def test_recommend_and_similar_print_tables_and_json(visrec, here, finished):
    rows = json.loads(
        visrec("recommend", finished, "--model", "vbpr", "--user", "u0001", "-k", 5, "--json").stdout
    )
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert {row["user_id"] for row in rows} == {"u0001"}
    assert all(row["title"] for row in rows)
    rows = json.loads(
        visrec(
            "recommend", finished, "--model", "visrank", "--history", "00003,00009", "-k", 5, "--json"
        ).stdout
    )
    assert len(rows) == 5
    assert not {"00003", "00009"} & {row["item_id"] for row in rows}
    rows = json.loads(here("similar", finished, "--item", "00003", "-k", 4, "--json").stdout)
    assert len(rows) == 4
    assert "00003" not in {row["item_id"] for row in rows}
    assert "00003" in here("similar", finished, "--item", "00003", "--model", "item_knn").stdout
    assert "score" in here("recommend", finished, "--model", "bpr", "--user", "u0001").stdout


def test_a_model_compares_items_in_a_run_without_features(here, shop, tmp_path):
    here("run", shop, "--models", "bpr", "--out", tmp_path / "run")
    found = here("similar", tmp_path / "run", "--model", "bpr", "--item", "00003", "-k", 3, "--json")
    assert [row["rank"] for row in json.loads(found.stdout)] == [1, 2, 3]


def test_what_is_said_of_missing_images_works_for_a_search_too(here, tmp_path):
    rows = [f"u{u},i{i},{t}" for u in range(4) for t, i in enumerate((u, 4, 5, 6))]
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    words = ["tune", tmp_path, "--model", "item_knn", "--trials", "1", "--out", tmp_path / "tuning"]
    assert "--allow-missing-images" in here(*words, status=2).stderr
    here(*words, "--allow-missing-images")
    done = here(
        "run", tmp_path / "tuning" / "best.toml", "--models", "visrank", "--out", tmp_path / "r", status=2
    )
    assert "name only models that do not look at them" in done.stderr


def test_tune_writes_an_experiment_that_runs(here, shop, tmp_path):
    found = here("tune", shop, "--model", "visrank", "--trials", "3", "--out", tmp_path / "tuning", "--json")
    rows = json.loads(found.stdout)
    assert {row["trial"] for row in rows} == {0, 1, 2}
    assert rows[0]["ndcg@20"] == max(row["ndcg@20"] for row in rows)
    shown = here("tune", shop, "--model", "visrank", "--trials", "3", "--out", tmp_path / "tuning")
    assert f"visrec run {tmp_path / 'tuning' / 'best.toml'} --out RUN" in shown.stdout
    done = here("run", tmp_path / "tuning" / "best.toml", "--out", tmp_path / "run", "--json")
    assert list(json.loads(done.stdout)["models"]) == ["visrank"]


def test_models_extractors_and_datasets_are_listed(here):
    rows = json.loads(here("models", "--json").stdout)
    assert [row["model"] for row in rows] == registry.names("models")
    found = json.loads(here("extractors", "squeezenet1_0", "--json").stdout)
    assert found[0] == {
        "name": "squeezenet1_0",
        "source": "torchvision",
        "dim": 512,
        "n_params": 1248424,
        "top1": 58.092,
        "top1_kind": "supervised",
        "licence": "BSD-3-Clause",
        "paper": "Iandola et al. 2016",
    }
    listed = here("extractors").stdout
    for name in ("color", "sift", "nasnet_large", "dinov2", "clip", "--layers"):
        assert name in listed
    unnamed = json.loads(here("extractors", "test_resnet", "--json").stdout)[0]
    assert (unnamed["source"], unnamed["dim"]) == ("timm", 96)
    layers = json.loads(here("extractors", "--layers", "resnet18", "--json").stdout)
    assert {"layer": "layer4", "kind": "Sequential", "gives": "512 x 7 x 7"} in layers
    assert "synthetic" in here("datasets").stdout
    assert "visrec datasets synthetic --out FOLDER" in here("datasets", "synthetic").stdout


def test_datasets_makes_the_synthetic_one(here, tmp_path):
    here("datasets", "synthetic", "--out", tmp_path / "new", "--items", 40, "--users", 12)
    assert len(list((tmp_path / "new" / "images").iterdir())) == 40


def test_extract_writes_features(here, shop, tmp_path):
    facts = json.loads(
        here("extract", shop, "--extractor", "color", "--out", tmp_path / "f", "--json").stdout
    )
    assert facts["items"] == 80
    assert facts["missing"] == 0
    assert {path.name for path in (tmp_path / "f").iterdir()} >= {"values.npy", "items.parquet", "meta.json"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nowhere", "--models", "bpr", "--out", "x"], "nowhere"),
        (["run", "SHOP", "--models", "vpbr", "--out", "x"], "vbpr"),
        (["run", "SHOP", "--out", "x"], "--models"),
        (["run", "SHOP", "--models", "visrank", "--extractor", "resnet5", "--out", "x"], "resnet50"),
        (["run", "SHOP", "--models", "bpr", "--split", "leave_one", "--out", "x"], "split"),
        (["run", "SHOP", "--models", "bpr", "--cutoffs", "ten", "--out", "x"], "cutoffs"),
        (["run", "SHOP", "--models", "bpr", "--min-rating", "3", "--out", "x"], "rating"),
        (["run", "SHOP", "--models", "bpr", "--cutoffs", "0", "--out", "x"], "cutoffs"),
        (["run", "SHOP", "--models", "bpr", "--seed", "99999999999999999999", "--out", "x"], "seed"),
        (["extractors", "zzz"], "zzz"),
        (["demo", "--out", "/"], "--out"),
        (["evaluate", "SHOP"], "run folder"),
        (
            ["evaluate", "RUN", "--slices", "history,colour"],
            "no 'colour'. There are history, popularity, new, visual",
        ),
        (["evaluate", "RUN", "--format", "html"], "md, latex, csv, json"),
        (["evaluate", "RUN", "--out", "table.md"], "--format"),
        (["recommend", "RUN", "--model", "bpr", "--user", "nobody"], "nobody"),
        (["recommend", "RUN", "--model", "bpr", "--history", "00003"], "visrec models"),
        (["recommend", "RUN", "--model", "dvbpr", "--user", "u0001"], "dvbpr"),
        (["recommend", "RUN", "--model", "bpr"], "--user"),
        (["similar", "RUN", "--item", "3"], "Unknown item '3'"),
        (["similar", "RUN", "--item", "00003", "--model", "popularity"], "another model"),
        (["datasets", "movielens"], "movielens"),
    ],
)
def test_wrong_input_ends_in_one_line_and_status_2(here, shop, finished, tmp_path, words, said):
    words = [{"SHOP": shop, "RUN": finished}.get(word, word) for word in words]
    done = here(*words, cwd=tmp_path, status=2)
    assert said in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("visrec: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x" / "report.json").exists()


def test_debug_shows_where_an_error_was_raised(here, tmp_path):
    assert "Traceback" in here("evaluate", tmp_path, "--debug", status=2).stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(visrec, shop, finished, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "visrec.cli", "run", str(shop), "--models", ",".join(MODELS)]
    command += ["--extractor", "color", "--out", str(out)]
    rng = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(1.0, 6.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    visrec(*command[3:])
    first, second = (json.loads((run / "report.json").read_text()) for run in (finished, out))
    assert first["models"] == second["models"]
    digests = [
        {name: facts["digest"] for name, facts in run["provenance"]["models"].items()}
        for run in (first, second)
    ]
    assert digests[0] == digests[1]
    assert not [
        path for path in out.rglob("*") if path.name.endswith((".tmp", ".old", ".partial", ".checkpoint"))
    ]


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(shop, tmp_path):
    command = [
        sys.executable,
        "-m",
        "visrec.cli",
        "run",
        str(shop),
        "--models",
        "bpr,vbpr",
        "--out",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "models" / "bpr.checkpoint").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    if process.returncode:  # else it was done before the signal came
        assert process.returncode == 130
        assert "goes on where it stopped" in said
        assert "Traceback" not in said


@pytest.mark.slow
def test_the_demo_finds_the_planted_truth(visrec, tmp_path):
    done = visrec("demo", "--no-serve", "--out", tmp_path / "demo")
    assert "report.html" in done.stdout
    report = json.loads((tmp_path / "demo" / "report.json").read_text())["models"]
    users = pl.read_parquet(tmp_path / "demo" / "per_user.parquet").partition_by("model", as_dict=True)
    for name in ("visrank", "vbpr"):
        for metric in ("auc", "ndcg@20"):  # on the same users: each one's own difference
            assert users[name,]["user_id"].equals(users["random",]["user_id"])
            assert bootstrap((users[name,][metric] - users["random",][metric]).to_numpy()).low > 0
    assert report["vbpr"]["new_items"]["auc"]["low"] > report["bpr"]["new_items"]["auc"]["high"]
    html = Path(tmp_path / "demo" / "report.html").read_text()
    assert "http://" not in html.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("table", "model", "said"),
    [
        (
            '[features]\nextractor = "color"\n[features.options]\ngrid = 2\n',
            "vbpr",
            "needs one vector an item",
        ),
        ('[features]\nextractor = "pixels"\n', "visrank", "needs .* visual features"),
        ('[regions]\nextractor = "color"\n', "acf", "needs .* features of regions"),
    ],
)
def test_content_of_another_kind_than_a_model_needs_is_one_line(here, shop, tmp_path, table, model, said):
    (tmp_path / "x.toml").write_text(f'[data]\npath = "{shop}"\n{table}[models.{model}]\n')
    done = here("run", tmp_path / "x.toml", "--out", tmp_path / "run", status=2)
    assert re.search(said, done.stderr)
    assert "Traceback" not in done.stderr
