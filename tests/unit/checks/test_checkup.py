"""All that the doctor knows, planted at once: each fault is found, and nothing else."""

from __future__ import annotations

import json
import shlex
import shutil
import struct
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from PIL import Image, ImageCms
from typer.testing import CliRunner

from visrec.checks.checkup import check
from visrec.checks.codes import CODES
from visrec.checks.codes.pictures import PICTURES
from visrec.checks.codes.tables import TABLES
from visrec.checks.diagnosis import Diagnosis
from visrec.checks.mending import fix
from visrec.cli import app
from visrec.data.dataset import load_catalog, load_dataset
from visrec.data.images import decode
from visrec.data.splits import by_evaluation
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features
from visrec.files import file_digest

DAY, START = 86_400, 1_600_000_000
NOW = START + 400 * DAY


def huge_png() -> bytes:
    """A file that says it has 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def swapped_colours() -> bytes:
    """A colour profile whose red, green and blue are those of sRGB in another order."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    n_tags = struct.unpack_from(">I", profile, 128)[0]
    at = {bytes(profile[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(n_tags)}
    places = [profile[at[name] + 4 : at[name] + 12] for name in (b"gXYZ", b"bXYZ", b"rXYZ")]
    for name, place in zip((b"rXYZ", b"gXYZ", b"bXYZ"), places, strict=True):
        profile[at[name] + 4 : at[name] + 12] = place
    return bytes(profile)


def plant(shop, picture, encoded) -> dict[str, int]:
    """Put one fault of each kind that fits into one folder; what is to be found, and how often."""
    row, item = shop.row, shop.item
    day = START + 3 * DAY
    # Rows.
    row("", "i000", day)
    row("u01", "i050", "yesterday")
    row("u01", "i051", -5)
    row("u01", "i052", NOW + 30 * DAY)
    row("u01", "i053", 0)
    row("u01", "i059", day * 1000)  # milliseconds
    row("u01", "i054", day + 1, rating="good")
    row("u01", "i055", day + 2, weight=-1)
    row("u01", "i056", day + 3, "perhaps")
    row("u02", "i057", day)
    row("u02", "i057", day)  # a copy
    row("u03", "i058", day)
    row("u03", "i058", day + 7)  # the same at another time
    row("u01", "nowhere", day)
    row("U05", "i000", day)
    row("U05", "i001", day + 1)
    row("lonely", "i002", day)
    row("basket", "i003", day)
    row("basket", "i004", day)
    for n in range(110):
        row("robot", f"i{n:03d}", day + n)
    row("early", "i005", START - 90 * DAY)
    row("early", "i006", START - 90 * DAY + 60)
    shop.items.append("once")
    shop.files[b"once.jpg"] = encoded(picture(900))
    row("u04", "once", day)
    # Parts.
    row("both", "i007", day)
    row("both", "i008", day + 1)
    row("both", "i008", day + 2, "test")
    shop.items.append("fresh")
    shop.files[b"fresh.jpg"] = encoded(picture(901))
    row("future", "i009", day)
    row("future", "fresh", day + 1, "test")
    row("future", "i010", day + 2)
    row("cut", "i011", day)
    row("cut", "i012", day + 1)
    row("cut", "i013", day + 1, "test")
    row("stranger", "i014", day, "test")
    row("stranger", "fresh", day + 1, "test")
    # Pictures.
    base = picture(950)
    item("same1", encoded(base))
    item("same2", encoded(base))
    row("leak", "i015", day)
    row("leak", "same1", day + 1)
    row("leak", "same2", day + 2, "test")
    other = picture(951, (240, 320))
    item("near1", encoded(other, quality=92))
    item("near2", encoded(other.resize((150, 200)), quality=60))
    shop.items += ["i000", ""]  # a second row, and one without an id
    item("absent", None)
    item("double", encoded(picture(952)))
    shop.files[b"double.png"] = encoded(picture(952, (48, 64)), "PNG")
    shop.files[b"extra.jpg"] = encoded(picture(953))
    shop.files[b"notes.txt"] = b"to do"
    shop.files[b"caf\xe9.jpg"] = encoded(picture(954))
    item("empty", b"")
    item("gone", None)
    shop.dangling.append("gone.jpg")
    item("page", b"<html>404</html>")
    item("cutoff", encoded(picture(955))[:900])
    item("huge", huge_png(), "png")
    item("liar", encoded(picture(956), "PNG"))
    item("tiny", encoded(picture(957, (20, 24))))
    item("blank", encoded(Image.new("RGB", (64, 64), (200, 200, 190))))
    item("long", encoded(picture(958, (400, 60))))
    item("print", encoded(picture(959).convert("CMYK")))
    item("vivid", encoded(picture(966), icc_profile=swapped_colours()))
    deep = np.asarray(picture(960).convert("L"), dtype=np.uint16) * 257
    item("deep", encoded(Image.fromarray(deep), "PNG"), "png")
    exif = Image.Exif()
    exif[0x0112] = 6
    item("lying", encoded(picture(961), exif=exif))
    item("palette", encoded(picture(962).quantize(64), "PNG"), "png")
    glass = picture(963).convert("RGBA")
    glass.putalpha(120)
    item("glass", encoded(glass, "PNG"), "png")
    frames = [picture(964), picture(965)]
    item("moving", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "webp")
    return {
        "missing-id": 1, "unreadable-time": 1, "negative-time": 1, "future-time": 1, "other-unit-time": 1,
        "zero-time": 1, "unreadable-rating": 1, "unreadable-weight": 1, "unreadable-part": 1,
        "duplicate-row": 1, "repeated-pair": 1, "look-alike-id": 1, "unknown-item": 1, "single-event-user": 1,
        "one-basket-user": 1, "single-event-item": 1, "bot-user": 1, "time-gap": 1, "held-out-in-training": 1,
        "training-after-held-out": 1, "split-basket": 1, "untrained-user": 1, "untrained-item": 1,
        "leaked-duplicate": 1, "duplicate-item": 1, "missing-item-id": 1, "item-without-image": 1,
        "two-images": 1, "image-without-item": 1, "ignored-file": 1, "bad-file-name": 1, "empty-image": 1,
        "not-an-image": 1, "truncated-image": 1, "oversized-image": 1, "wrong-extension": 1, "tiny-image": 1,
        "blank-image": 1, "odd-shape": 1, "exact-duplicate": 1, "near-duplicate": 1, "cmyk-image": 1,
        "other-colours": 1, "unreadable-image": 1, "deep-image": 1, "rotated-image": 1, "palette-image": 1,
        "transparent-image": 1, "animated-image": 1,
    }  # fmt: skip


@pytest.fixture(scope="module")
def faulty(make_clean, tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """The planted folder, which no test changes, and what is to be found in it."""
    shop = make_clean()
    expected = plant(shop, shop.picture, shop.encoded)
    return shop.write(tmp_path_factory.mktemp("shop") / "faulty"), expected


@pytest.fixture(scope="module")
def diagnosis(faulty) -> Diagnosis:
    return check(faulty[0], n_workers=0, now=NOW)


def found_in(folder: Path, **options) -> dict[str, int]:
    return {one.code: one.count for one in check(folder, n_workers=0, now=NOW, **options).findings}


def test_a_clean_folder_has_no_finding_at_all(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    assert found_in(folder) == {}
    by_evaluation(load_dataset(folder).interactions)  # and it is one that can be used


def test_each_of_the_planted_faults_is_found_and_nothing_else(faulty, diagnosis):
    _, expected = faulty
    assert len(expected) >= 30
    assert {one.code: one.count for one in diagnosis.findings} == expected
    # What cannot stand in one folder with these, or needs more than a folder, has tests of its own.
    apart = {
        "unreadable-file",
        "no-interactions",
        "constant-time",
        "no-test-rows",
        "listed-image-missing",
        "heavy-head",
    }
    assert set(TABLES | PICTURES) - set(expected) == apart


def test_examples_name_what_is_at_fault(diagnosis):
    found = {one.code: one for one in diagnosis.findings}
    assert found["unreadable-image"].examples[0].endswith("gone.jpg: no such file.")
    assert "u01, item i059: 1600259200000" in found["other-unit-time"].examples[0]
    assert "'yesterday'" in found["unreadable-time"].examples[0]
    assert "lonely" in found["single-event-user"].examples[0]
    assert found["exact-duplicate"].examples == ("same1, same2",)
    assert found["near-duplicate"].examples == ("near1 and near2",)
    assert found["leaked-duplicate"].examples == ("user leak: same2 held out, same1 in training",)
    assert found["wrong-extension"].examples == ("liar.jpg: is PNG",)
    assert found["untrained-item"].examples == ("fresh",)
    assert "robot: 110" in found["bot-user"].examples[0]


def test_a_fixed_folder_passes_and_the_original_is_as_it_was(faulty, tmp_path):
    folder, expected = faulty
    before = {path: file_digest(path) for path in folder.rglob("*") if path.is_file()}
    made = fix(folder, tmp_path / "fixed", n_workers=0, now=NOW)
    assert {path: file_digest(path) for path in folder.rglob("*") if path.is_file()} == before
    always = {code for code in expected if CODES[code].mend == "always"}
    assert set(made.done) == always
    left = check(tmp_path / "fixed", n_workers=0, now=NOW)
    assert not left.has_errors
    assert not {one.code for one in left.findings} & always
    data = load_dataset(tmp_path / "fixed")  # refused before
    assert "cutoff" not in data.catalog.items
    assert data.catalog.open("print").mode == "RGB"
    rows = pl.read_csv(tmp_path / "fixed" / "interactions.csv", infer_schema=False)
    of_another_unit = rows.filter((pl.col("user_id") == "u01") & (pl.col("item_id") == "i059"))
    assert of_another_unit["timestamp"].to_list() == [str(START + 3 * DAY)]
    vivid = np.asarray(data.catalog.open("vivid").resize((4, 4)), dtype=int)
    before = np.asarray(decode(folder / "images" / "vivid.jpg").resize((4, 4)), dtype=int)
    assert np.abs(vivid - before).max() > 20  # other numbers, which mean the same colours on a screen


def test_what_changes_the_meaning_of_the_data_is_mended_when_asked(faulty, tmp_path):
    folder, expected = faulty
    asked = [code for code in expected if CODES[code].mend == "asked"]
    made = fix(folder, tmp_path / "fixed", also=asked, n_workers=0, now=NOW)
    left = {one.code: one.count for one in check(tmp_path / "fixed", n_workers=0, now=NOW).findings}
    assert set(made.done) >= set(asked)
    assert not left.keys() & set(asked), left
    data = load_dataset(tmp_path / "fixed")
    assert "same2" not in data.catalog.items
    assert len({"near1", "near2"} & set(data.catalog.items.values)) == 1
    assert not {"tiny", "blank"} & set(data.catalog.items.values)
    assert "U05" not in data.interactions.users  # u05 has more rows
    rows = pl.read_csv(tmp_path / "fixed" / "interactions.csv", infer_schema=False)
    merged = rows.filter((pl.col("user_id") == "leak") & (pl.col("item_id") == "same1"))
    assert merged["evaluation"].to_list() == ["train"]  # the older of the two


def test_fix_mends_what_it_is_told_alone(faulty, tmp_path):
    folder, _ = faulty
    fix(folder, tmp_path / "fixed", only=["future-time"], n_workers=0, now=NOW)
    left = found_in(tmp_path / "fixed")
    assert "future-time" not in left
    assert {"negative-time", "cmyk-image", "truncated-image"} <= left.keys()


def test_fix_keeps_items_without_a_picture_where_they_are_allowed(faulty, tmp_path):
    folder, _ = faulty
    fix(folder, tmp_path / "fixed", allow_missing_images=True, n_workers=0, now=NOW)
    assert not check(tmp_path / "fixed", allow_missing_images=True, n_workers=0, now=NOW).has_errors
    catalog = load_catalog(tmp_path / "fixed", missing_images="mask")
    assert catalog.paths[catalog.items.index("cutoff")] is None


def test_fix_writes_nothing_over_anything(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        fix(folder, tmp_path / "there", n_workers=0)
    with pytest.raises(DataError, match="lies within"):
        fix(folder, folder / "fixed", n_workers=0)
    with pytest.raises(ConfigError, match="'odd-shape' cannot be mended"):
        fix(folder, tmp_path / "fixed", only=["odd-shape"], n_workers=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "there"]


def test_an_interrupted_fix_leaves_no_folder(make_clean, tmp_path, monkeypatch):
    folder = make_clean().write(tmp_path / "clean")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("visrec.checks.mending.shutil.copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        fix(folder, tmp_path / "fixed", n_workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ["clean"]


def test_a_list_of_images_is_checked_and_mended_too(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "listed")
    (folder / "images").rename(folder / "photos")
    lines = [f"i{n:03d},photos/i{n:03d}.jpg" for n in range(120)]
    lines[3] = "i003,photos/gone.jpg"
    (folder / "images.csv").write_text("item_id,path\n" + "\n".join(lines) + "\n")
    assert found_in(folder) == {"listed-image-missing": 1}
    fix(folder, tmp_path / "fixed", n_workers=0, now=NOW)
    assert not check(tmp_path / "fixed", n_workers=0, now=NOW).has_errors
    assert len(load_dataset(tmp_path / "fixed").catalog) == 119


def test_min_rating_looks_at_what_was_liked(make_clean, tmp_path):
    shop = make_clean()
    shop.row("grump", "i000", START + DAY, rating=1)
    shop.row("grump", "i001", START + DAY + 1, rating=5)
    folder = shop.write(tmp_path / "rated")
    assert found_in(folder) == {}
    assert found_in(folder, min_rating=4) == {"single-event-user": 1}


def test_the_last_basket_is_held_out_where_the_data_say_nothing(make_clean, tmp_path):
    shop = make_clean()
    base = shop.encoded(shop.picture(950))
    shop.item("same1", base)
    shop.item("same2", base)
    shop.row("leak", "same1", START + DAY)
    shop.row("leak", "same2", START + 2 * DAY)
    shop.rows = [(*row[:5], "") for row in shop.rows]
    folder = shop.write(tmp_path / "plain")
    table = pl.read_csv(folder / "interactions.csv", infer_schema=False).drop("evaluation")
    table.write_csv(folder / "interactions.csv")
    found = found_in(folder)
    assert found["leaked-duplicate"] == 1
    assert found["exact-duplicate"] == 1


def test_a_column_that_marks_no_test_and_one_moment_for_all(make_clean, tmp_path):
    shop = make_clean()
    shop.rows = [(row[0], row[1], START, *row[3:5], "train") for row in shop.rows]
    assert found_in(shop.write(tmp_path / "flat")) == {"no-test-rows": 1, "constant-time": 1}


def test_features_are_checked_against_the_data_set(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    catalog = load_catalog(folder)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(120, 8)).astype(np.float32)
    digests = pl.Series([file_digest(path) for path in catalog.paths])
    said = {"settings": {"extractor": "color", "weights": "default", "options": {}}}
    good = replace(Features.from_array(values, catalog.items.values, provenance=said), images=digests)
    good.save(tmp_path / "good")
    assert found_in(folder, features=[tmp_path / "good"]) == {}

    values[:, 2] = 1  # dead
    values[:, 3] *= 1e4  # wide
    values[5] = 0
    ids = catalog.items.values.to_list()
    ids[7] = "stranger"  # i007 has no row
    missing = np.arange(120) == 9
    bad = Features.from_array(values, ids, missing=missing, provenance=said)
    spoilt = np.array(bad.values)
    spoilt[11, 0] = np.nan
    places = {one: place for place, one in enumerate(bad.items.written.to_list())}
    known = dict(zip(catalog.items.written.to_list(), digests.to_list(), strict=True))
    images = [known.get(one) for one in places]
    images[places["i020"]] = "0" * 64
    replace(bad, values=spoilt, images=pl.Series(images, dtype=pl.String)).save(tmp_path / "bad")
    damaged = tmp_path / "damaged"
    good.save(damaged)
    with (damaged / "values.npy").open("rb+") as file:
        file.seek(200)
        file.write(b"\xff\xff")
    expected = {
        "items-without-features", "features-without-items", "missing-vector", "zero-vector", "not-finite-vector",
        "dead-column", "uneven-scale", "stale-vector", "unreadable-features",
    }  # fmt: skip
    found = check(folder, features=[tmp_path / "bad", damaged], n_workers=0, now=NOW).findings
    assert Counter(one.code for one in found) == Counter(expected)
    assert {one.count for one in found} == {1}


def test_every_code_has_a_word_of_advice_or_needs_none():
    for code, one in CODES.items():
        assert one.meaning.endswith("."), code
        assert one.severity == "note" or one.command or one.mend or one.advice, code
        assert (one.mend is None) == (not one.does), code


def test_a_diagnosis_is_json(diagnosis):
    found = diagnosis
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["errors"] == len(found.of("error")) > 0
    assert [one["code"] for one in told["findings"]] == [one.code for one in found.findings]
    assert told["facts"]["k_core"][0]["k"] == 2


def typed(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_commands_that_findings_name_work_when_typed(faulty, diagnosis, tmp_path, monkeypatch):
    """Of each kind of mend the printed command is typed, and its fault is gone from the folder that it makes."""
    monkeypatch.chdir(tmp_path)
    for code in ("other-unit-time", "near-duplicate", "look-alike-id", "leaked-duplicate", "other-colours"):
        one = next(found for found in diagnosis.findings if found.code == code)
        words = shlex.split(diagnosis.command(one).replace("FIXED", code))
        assert words[:2] == ["visrec", "fix"]
        typed(*words[1:])  # with --only, what it was not asked about is left: the status says so
        assert code not in {found.code for found in check(tmp_path / code, n_workers=0, now=NOW).findings}


def test_a_broken_folder_stops_a_pipeline_and_its_mended_copy_does_not(faulty, tmp_path):
    folder, _ = faulty
    assert typed("check", folder).exit_code == 2
    assert typed("fix", folder, tmp_path / "fixed").exit_code == 0
    assert typed("check", tmp_path / "fixed").exit_code == 0


def test_every_fault_of_a_folder_has_something_to_type_unless_words_must_do(diagnosis):
    silent = [one.code for one in diagnosis.findings if not diagnosis.command(one) and not one.advice]
    assert all(CODES[code].severity == "note" for code in silent)


def test_a_column_that_marks_no_test_is_left_out_when_asked(make_clean, tmp_path):
    shop = make_clean()
    shop.rows = [(*row[:5], "train") for row in shop.rows]
    folder = shop.write(tmp_path / "flat")
    assert found_in(folder) == {"no-test-rows": 1}
    assert (
        fix(folder, tmp_path / "fixed", also=["no-test-rows"], n_workers=0, now=NOW).left.has_errors is False
    )
    assert load_dataset(tmp_path / "fixed").interactions.evaluation is None


def test_a_pair_that_is_validated_and_tested_is_a_repeated_pair(make_clean, tmp_path):
    shop = make_clean()
    shop.row("u01", "i100", START + 8 * DAY, "valid")
    shop.row("u01", "i100", START + 8 * DAY + 60, "test")
    assert found_in(shop.write(tmp_path / "twice")) == {"repeated-pair": 1}


def test_milliseconds_throughout_are_no_fault_and_seconds_among_them_are(make_clean, tmp_path):
    shop = make_clean()
    shop.rows = [(*row[:2], 1000 * row[2], *row[3:]) for row in shop.rows]
    assert found_in(shop.write(tmp_path / "thousands")) == {}
    shop.row("u01", "i100", START + DAY)
    assert found_in(shop.write(tmp_path / "mixed")) == {"other-unit-time": 1}
    made = fix(tmp_path / "mixed", tmp_path / "fixed", n_workers=0, now=NOW)
    assert not made.left.findings
    rows = pl.read_csv(tmp_path / "fixed" / "interactions.csv")
    mended = rows.filter((pl.col("user_id") == "u01") & (pl.col("item_id") == "i100"))
    assert mended["timestamp"].to_list() == [1000 * (START + DAY)]


def test_a_folder_that_is_no_data_set_passes_no_check(tmp_path):
    nested = tmp_path / "images" / "010"
    nested.mkdir(parents=True)
    (nested / "0108775015.jpg").write_bytes(b"a picture that is looked for elsewhere")
    (tmp_path / "transactions_train.csv").write_text("t_dat,customer_id,article_id\n")
    with pytest.raises(DataError, match=r"is no data set folder: .*visrec convert"):
        check(tmp_path)


def test_folders_among_the_pictures_are_told(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    (folder / "images" / "more").mkdir()
    (one,) = check(folder, n_workers=0, now=NOW).findings
    assert (one.code, one.count, one.examples) == ("ignored-file", 1, ("more/",))


def test_items_that_only_interactions_name_count_among_all(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    (folder / "items.csv").unlink()
    shutil.rmtree(folder / "images")
    facts = check(folder, now=NOW).facts
    assert (facts["items"], facts["items_taken"]) == (120, 120)
    assert facts["density"] == pytest.approx(240 / (30 * 120), rel=1e-3)


def test_fix_does_not_remove_every_item(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    shutil.rmtree(folder / "images")
    with pytest.raises(DataError, match=r"nothing would be left.*--allow-missing-images"):
        fix(folder, tmp_path / "fixed", n_workers=0, now=NOW)
    assert not (tmp_path / "fixed").exists()
    assert not fix(folder, tmp_path / "fixed", allow_missing_images=True, now=NOW).left.has_errors


def test_fix_says_what_it_does_not_copy(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    (folder / "features" / "color").mkdir(parents=True)
    assert fix(folder, tmp_path / "fixed", n_workers=0, now=NOW).not_copied == ("features",)
    assert not (tmp_path / "fixed" / "features").exists()


def test_a_mistyped_code_is_answered_with_the_ones_like_it(make_clean, tmp_path):
    folder = make_clean().write(tmp_path / "clean")
    with pytest.raises(ConfigError, match=r"is no code of `visrec check`\. Did you mean exact-duplicate"):
        fix(folder, tmp_path / "fixed", also=["exact-duplicat"])
