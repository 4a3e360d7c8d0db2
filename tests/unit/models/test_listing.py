from __future__ import annotations

import json
import subprocess
import sys

import pytest

from visrec import registry
from visrec.models import listing


@pytest.fixture(scope="module")
def facts():
    return {one["model"]: one for one in listing.models()}


def test_every_registered_model_is_listed_with_what_its_class_says(facts):
    assert list(facts) == registry.names("models")
    for name, found in facts.items():
        cls = registry.resolve("models", name)
        for key in ("needs", "learns", "query", "personal", "paper"):
            assert found[key] == getattr(cls, key)
        assert (found["new users"], found["new items"]) == (cls.new_users, cls.new_items)
    json.dumps(facts)


def test_losses_and_samplers_stand_where_pairs_are_learnt_from_the_default_first(facts):
    for found in facts.values():
        assert bool(found["losses"]) == bool(found["samplers"]) == (found["learns"] == "pairs")
    assert facts["bpr"]["losses"] == ["bpr", "bce", "hinge", "warp", "softmax"]
    assert facts["bpr"]["samplers"][0] == "uniform"


def test_settings_are_all_of_the_models_with_their_defaults_and_docstrings(facts):
    for one in ("variant", "dim_gamma", "dim_theta", "reg", "reg_E", "epochs", "sampler", "guidelines"):
        assert one in facts["vbpr"]["settings"]
    assert facts["acf"]["settings"]["batch_size"]["default"] == 256
    assert facts["ease"]["settings"]["max_gib"]["default"] == 4
    for found in facts.values():
        assert all(setting["about"] for setting in found["settings"].values())


def test_listing_imports_no_optional_library():
    code = "import sys; from visrec.models import listing; listing.models(); print('implicit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", registry.BUILTIN["models"])
def test_the_table_reads_from_the_source_what_the_imported_class_says(name, facts):
    stated = listing.stated(name)
    assert stated is not None, (
        f"the source of {name} must state its facts as plain literals: visrec/declarations.py"
    )
    assert stated == {key: facts[name][key] for key in stated}


def test_a_model_whose_source_is_in_doubt_is_imported(monkeypatch, facts):
    monkeypatch.setattr(listing, "stated", lambda name: None)
    imported = listing.rows()
    monkeypatch.undo()
    assert imported == listing.rows()
    assert imported[list(facts).index("vbpr")]["losses"] == "bpr bce hinge warp softmax"


def test_the_table_says_in_words_what_a_query_is_made_of():
    rows = {row["model"]: row for row in listing.rows()}
    assert rows["vbpr"]["query"] == "the user"
    assert rows["ease"] == {
        "model": "ease",
        "needs": None,
        "learns": "closed form",
        "query": "the history",
        "new users": True,
        "new items": False,
        "losses": None,
        "samplers": None,
        "paper": "Steck 2019",
    }
