"""What the report of a run says of explanations."""

from __future__ import annotations

import json
import shutil

import visrec
from visrec.explain import attribute_table

CHECKED = {
    "random": [],
    "popularity": [],
    "item_knn": ["contributions"],
    "visrank": ["nearest", "contributions"],
    "bpr": ["nearest"],
    "vbpr": ["nearest", "visual"],
}


def _kinds(report: dict) -> dict[str, list[str]]:
    return {name: [one["kind"] for one in of] for name, of in report["faithfulness"].items()}


def test_a_run_checks_the_explanations_of_its_models(finished):
    report = json.loads((finished / "report.json").read_text())
    assert _kinds(report) == CHECKED
    assert "Do the explanations hold?" in (finished / "report.html").read_text(encoding="utf-8")
    checks = visrec.Run.load(finished).checks
    assert checks["visrank"][0].holds
    assert checks["visrank"][0].as_dict() == report["faithfulness"]["visrank"][0]


def test_checks_of_the_same_model_are_kept_until_they_are_asked_for_afresh(here, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    true = report["faithfulness"]["visrank"][0]["named"]
    report["faithfulness"]["visrank"][0]["named"] = 42.0
    (run / "report.json").write_text(json.dumps(report))
    here("evaluate", run, "--format", "json")  # only what is missing
    assert visrec.Run.load(run).checks["visrank"][0].named == 42.0
    here("evaluate", run)
    assert visrec.Run.load(run).checks["visrank"][0].named == true


def test_attributes_are_checked_where_the_run_has_them(here, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    table = attribute_table(visrec.Run.load(run).data.catalog, run / "attributes", n_workers=0)
    before = (run / "attributes" / "meta.json").stat().st_mtime_ns
    again = attribute_table(visrec.Run.load(run).data.catalog, run / "attributes", n_workers=0)
    assert again.digest == table.digest
    assert (run / "attributes" / "meta.json").stat().st_mtime_ns == before  # read, not made again
    here("evaluate", run)
    kinds = _kinds(json.loads((run / "report.json").read_text()))
    assert kinds == {
        name: of + ["attributes"] * (name not in ("random", "popularity")) for name, of in CHECKED.items()
    }
