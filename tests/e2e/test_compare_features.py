"""`visrec compare-features` on a small shop: every extractor a run of its own, and one table of them all."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

FILES = {"comparison.csv", "comparison.json", "comparison.html", "contact-sheet.jpg"}


@pytest.fixture(scope="module")
def compared(here, shop, tmp_path_factory) -> Path:
    """A comparison of two extractors, of which one is a tiny network."""
    out = tmp_path_factory.mktemp("compared") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visrec.costs.LEAST", 1)
        done = here(*words(shop, out, "color,test_vit"))
    assert "Too few networks to say" in done.stdout
    assert "comparison.html" in done.stdout
    assert "No images/s" not in done.stdout
    return out


def words(shop: Path, out: Path, extractors: str, *more: object) -> list[object]:
    return ["compare-features", shop, "--extractors", extractors, "--weights", "random", "--out", out, *more]


def rows_of(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (out / "comparison.csv").open() as file:
        return {(row["extractor"], row["model"]): row for row in csv.DictReader(file)}


def stamps(out: Path) -> dict[str, int]:
    """When the features and models were written."""
    kept = [*out.rglob("values.npy"), *out.rglob("model.safetensors")]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in kept}


def test_every_extractor_is_a_run_and_all_are_in_the_table(compared):
    assert {path.name for path in compared.iterdir()} == FILES | {"costs.json", "color", "test_vit", "random"}
    rows = rows_of(compared)
    assert set(rows) == {("color", "visrank"), ("test_vit", "visrank"), ("", "random")}
    for (extractor, model), row in rows.items():
        report = json.loads((compared / (extractor or "random") / "report.json").read_text())["models"][model]
        for key in ("recall@20", "precision@20", "rr@20", "ndcg@20"):
            found = {
                "mean": float(row[key]),
                "low": float(row[f"{key}_low"]),
                "high": float(row[f"{key}_high"]),
            }
            assert found == report["metrics"][key]
    weights = {name: row["weights"] for (name, _), row in rows.items()}
    assert weights == {"color": "", "test_vit": "random", "": ""}  # colours have none
    assert int(rows["color", "visrank"]["bytes"]) > 80 * int(rows["color", "visrank"]["dim"]) * 4
    assert float(rows["test_vit", "visrank"]["images_per_second"]) > 0
    html = (compared / "comparison.html").read_text()
    assert html.count('class="query"') == 6
    assert "test_vit" in html


def test_the_same_command_does_nothing_again_and_keeps_the_costs(here, shop, compared, tmp_path):
    out = shutil.copytree(compared, tmp_path / "out")
    before, costs, table = stamps(out), (out / "costs.json").read_text(), (out / "comparison.csv").read_text()
    content = json.loads(here(*words(shop, out, "color,test_vit", "--json")).stdout)
    assert stamps(out) == before
    assert (out / "costs.json").read_text() == costs
    assert (out / "comparison.csv").read_text() == table
    assert content["failures"] == {}
    assert [row["extractor"] for row in content["rows"]][-1] is None


def test_an_extractor_more_keeps_the_others(here, shop, compared, tmp_path):
    out = shutil.copytree(compared, tmp_path / "out")
    before = stamps(out)
    done = here(*words(shop, out, "test_resnet", "--queries", 0))
    assert "No images/s: fewer than 200 pictures were timed" in done.stdout
    assert "No images/s: fewer than 200 pictures were timed" in (out / "comparison.html").read_text()
    after = stamps(out)
    assert {key: after[key] for key in before} == before
    rows = rows_of(out)
    assert {extractor for extractor, _ in rows} == {"color", "test_vit", "test_resnet", ""}
    assert rows["test_resnet", "visrank"]["images_per_second"] == ""  # too few pictures to tell
    assert 'class="query"' not in (out / "comparison.html").read_text()
    assert not (out / "contact-sheet.jpg").exists()


def test_one_that_fails_does_not_cost_the_others_and_is_made_up_for(here, shop, tmp_path):
    out, weights = tmp_path / "out", tmp_path / "w.safetensors"
    call = ["compare-features", shop, "--extractors", "test_vit,color,test_resnet", "--out", out]
    call += ["--weights", f"test_vit={weights}", "--weights", "test_resnet=random"]
    done = here(*call, status=2)
    lines = [line for line in done.stderr.splitlines() if line.startswith("visrec: ")]
    assert len(lines) == 1
    assert "test_vit" in lines[0]
    assert "w.safetensors" in lines[0]
    assert "test_resnet" in done.stdout  # the table comes all the same
    assert {extractor for extractor, _ in rows_of(out)} == {"color", "test_resnet", ""}
    assert "no such file" in json.loads((out / "comparison.json").read_text())["failures"]["test_vit"]
    before = stamps(out)
    call[-3] = "test_vit=random"
    here(*call)
    after = stamps(out)
    assert {key: after[key] for key in before} == before
    assert {extractor for extractor, _ in rows_of(out)} == {"color", "test_resnet", "test_vit", ""}


def test_a_model_that_diverges_does_not_cost_the_others(here, shop, tmp_path):
    toml, out = tmp_path / "e.toml", tmp_path / "out"
    wild = 'optimizer = "sgd"\nlearning_rate = 1e30\n'
    toml.write_text(f'[data]\npath = "{shop}"\n[models.vbpr]\n{wild}[models.visrank]\n')
    done = here("compare-features", toml, "--extractors", "color", "--out", out, status=2)
    assert "models.vbpr" in done.stderr
    assert set(rows_of(out)) == {("color", "visrank"), ("", "random")}


def test_a_first_call_of_which_nothing_came_does_not_stand_in_the_way(here, shop, tmp_path):
    out = tmp_path / "out"
    call = ["compare-features", shop, "--extractors", "test_vit", "--out", out, "--weights"]
    here(*call, f"test_vit={tmp_path / 'no.pth'}", "--seed", 3, status=2)
    assert not (out / "comparison.csv").exists()
    here(*call, "random", "--seed", 4)


def test_a_model_whose_negatives_go_by_looks_learns_from_features(here, shop, tmp_path):
    toml, out = tmp_path / "e.toml", tmp_path / "out"
    settings = 'epochs = 1\nsampler = "guidelines"\nguidelines = { clusters = 4 }\n'
    toml.write_text(f'[data]\npath = "{shop}"\n[models.bpr]\n{settings}')
    here("compare-features", toml, "--extractors", "color", "--out", out)
    assert set(rows_of(out)) == {("color", "bpr"), ("", "random")}


def test_models_and_their_settings_may_come_from_an_experiment(here, shop, tmp_path):
    toml = tmp_path / "e.toml"
    toml.write_text(
        f'[data]\npath = "{shop}"\n[models.visrank]\n[models.short]\nmodel = "vbpr"\nepochs = 1\n'
    )
    out = tmp_path / "out"
    here("compare-features", toml, "--extractors", "color", "--out", out)
    assert {("color", "visrank"), ("color", "short")} <= set(rows_of(out))
    # Another extractor, and the models by name alone: they are trained as they were for the first.
    here(*words(toml, out, "test_vit", "--models", "short"))
    for name in ("color", "test_vit"):
        about = json.loads((out / name / "models" / "short" / "config.json").read_text())
        assert about["config"]["epochs"] == 1
    toml.write_text(toml.read_text().replace("epochs = 1", "epochs = 2"))
    done = here(*words(toml, out, "test_vit", "--models", "short"), status=2)
    assert "settings of the model 'short'" in done.stderr
    assert "color" in done.stderr


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["--extractors", "color,resnet5"], "resnet50"),
        (["--extractors", "color,color"], "named twice"),
        (["--extractors", "resnet50,torchvision:resnet50"], "named twice"),
        (["--extractors", ","], "No extractors"),
        (["--extractors", "color", "--models", "visrnk"], "visrank"),
        (["--extractors", "color", "--models", "visrank,bpr"], "learns from no features"),
        (["--extractors", "color", "--models", "random"], "learns from no features"),
        (["--extractors", "color", "--weights", "colour=x"], "Did you mean color"),
        (["--extractors", "color", "--weights", "color=x"], "has no weights"),
        (["--extractors", "test_vit,test_resnet", "--weights", "w.pth"], "--weights test_vit=w.pth"),
        (["--extractors", "color", "--split", "by_chance"], "split"),
    ],
)
def test_wrong_input_is_refused_before_anything_slow(here, shop, tmp_path, call, said):
    done = here("compare-features", shop, *call, "--out", "x", cwd=tmp_path, status=2)
    assert said in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("visrec: ")]) == 1
    assert not (tmp_path / "x").exists()


def test_folders_of_something_else_are_refused_and_left_alone(here, shop, finished, compared, tmp_path):
    done = here(*words(shop, finished, "color"), status=2)
    assert "is a run, not a comparison" in done.stderr
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt" in here(*words(shop, tmp_path, "color"), status=2).stderr
    before = stamps(compared)
    for option in (["--seed", 5], ["--split", "by_ratio"]):
        done = here(*words(shop, compared, "test_resnet", *option), status=2)
        assert "other settings" in done.stderr
    assert stamps(compared) == before
    assert not (compared / "test_resnet").exists()
