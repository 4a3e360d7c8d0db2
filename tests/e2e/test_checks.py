from __future__ import annotations

import json
import shutil


def test_check_guards_a_pipeline_and_fix_mends(here, shop, tmp_path):
    data, fixed = tmp_path / "data", tmp_path / "fixed"
    shutil.copytree(shop, data)
    before = json.loads(here("check", data, "--json").stdout)
    assert before["errors"] == 0
    assert before["facts"]["images"]["files"] == 80
    table = (data / "interactions.csv").read_text().splitlines()
    columns = table[0].split(",")
    late = table[1].split(",")
    late[columns.index("timestamp")] = "9000000000"
    table.append(",".join(late))
    (data / "interactions.csv").write_text("\n".join(table) + "\n")
    first = next((data / "images").iterdir())
    first.write_bytes(first.read_bytes()[:200])

    told = here("check", data, status=2).stdout
    assert "error truncated-image" in told
    assert f"visrec fix {data} FIXED --only truncated-image" in told
    assert "error future-time" in told
    done = here("fix", data, fixed).stdout
    assert (
        "truncated-image: Pictures are cut short or damaged: 1; removes the items and their interactions"
        in done
    )
    assert json.loads(here("check", fixed, "--json").stdout)["errors"] == 0
    assert "is not empty" in here("fix", data, fixed, status=2).stderr
    assert "is no code" in here("fix", data, tmp_path / "x", "--only", "typo", status=2).stderr


def test_tables_alone_are_checked_without_opening_a_picture(here, shop):
    told = here("check", shop, "--no-images", "--json")
    assert "images" not in json.loads(told.stdout)["facts"]


def test_stats_as_a_table_a_page_and_a_card(here, shop, tmp_path):
    page, card = tmp_path / "stats.html", tmp_path / "card.md"
    told = here("stats", shop, "--html", page, "--card", card).stdout
    numbers = json.loads(here("stats", shop, "--json").stdout)
    assert f"{numbers['interactions']:,}" in told
    assert f"reading {shop}: " in here("stats", shop).stderr
    assert f"| interactions | {numbers['interactions']:,} |" in card.read_text()
    assert page.read_text().startswith("<!doctype html>")
