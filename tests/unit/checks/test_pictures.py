from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from visrec.checks.duplicates import detailed, groups_of
from visrec.checks.inspection import inspect, inspect_all, perceptual_hash
from visrec.checks.interactions import check_crowd
from visrec.features import decoding


def apart(one: Image.Image, other: Image.Image) -> int:
    return (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()


def test_the_hash_hardly_changes_with_size_and_light_and_sets_half_of_its_bits(make_clean):
    pictures = [make_clean().picture(seed) for seed in range(8)]
    for image in pictures:
        assert perceptual_hash(image).bit_count() == 32
        assert apart(image, image.resize((48, 64), Image.Resampling.LANCZOS)) <= 4
        assert apart(image, ImageEnhance.Brightness(image).enhance(0.8)) <= 4
    assert min(apart(a, b) for n, a in enumerate(pictures) for b in pictures[:n]) > 10


def test_processes_see_what_threads_see(make_clean, tmp_path, monkeypatch):
    shop = make_clean()
    paths = []
    for n in range(6):
        paths.append(tmp_path / f"{n}.jpg")
        paths[-1].write_bytes(shop.encoded(shop.picture(n)))
    paths[2].write_bytes(b"no picture")
    paths.append(tmp_path / "absent.jpg")
    seen = []
    monkeypatch.setattr(decoding, "_WORTH_PROCESSES", 1)
    table = inspect_all(paths, n_workers=1, progress=lambda *told: seen.append(told))
    found = [table.of(place) for place in range(len(paths))]
    assert found == [inspect(path) for path in paths]
    again = inspect_all(paths, n_workers=0)
    assert found == [again.of(place) for place in range(len(paths))]
    assert [one.problem for one in found] == ["", "", "other-type", "", "", "", "unreadable"]
    assert seen[-1][:2] == (7, 7)


def test_two_things_that_look_the_same_when_small_are_told_apart_by_their_details(tmp_path):
    """Two dark shirts on white, each of a weave of its own, and one of them saved again."""

    def shirt(seed: int) -> Image.Image:
        weave = np.random.default_rng(seed).integers(20, 60, (64, 64), dtype=np.uint8)
        image = Image.new("L", (256, 256), 255)
        image.paste(Image.fromarray(weave).resize((160, 200), Image.Resampling.NEAREST), (48, 28))
        return image

    paths = [tmp_path / name for name in ("a.jpg", "again.jpg", "b.jpg", "gone.jpg")]
    shirt(1).save(paths[0], quality=95)
    shirt(1).resize((200, 200), Image.Resampling.LANCZOS).save(paths[1], quality=85)
    shirt(2).save(paths[2], quality=95)
    assert detailed(paths, np.array([[0, 1], [0, 2], [1, 2], [0, 3]])).tolist() == [True, False, False, False]


def test_groups_join_what_is_paired_by_others():
    group = groups_of(5, np.array([[0, 1], [1, 4]]))
    assert len(set(group[[0, 1, 4]])) == 1
    assert len(set(group)) == 3


@pytest.mark.parametrize(
    ("colour", "is_blank"), [((250, 250, 250), True), ((10, 200, 30), True), (None, False)]
)
def test_a_picture_of_one_colour_is_blank_whatever_the_colour(tmp_path, colour, is_blank):
    image = Image.new("RGB", (80, 80), colour or "white")
    if colour is None:
        ImageDraw.Draw(image).rectangle((30, 30, 50, 50), fill="black")
    image.save(tmp_path / "a.jpg")
    assert inspect(tmp_path / "a.jpg").blank is is_blank


def test_a_head_that_has_nearly_everything_is_told():
    """Of ten items one is taken by all of 100 users, the other nine by two each: 100 of 118 rows, 85 %."""
    taken = [(f"u{n:03d}", "hit") for n in range(100)] + [(f"u{n:03d}", f"i{n // 2}") for n in range(18)]
    rows = pl.DataFrame(taken, schema=["user_id", "item_id"], orient="row")
    rows = rows.with_columns(pl.int_range(pl.len()).alias("time")).with_row_index("row")
    found, facts = check_crowd(rows, n_items=12)
    assert "heavy-head" in {one.code for one in found}
    assert facts["head"]["10 %"] == pytest.approx(100 / 118)
    assert (facts["items"], facts["items_taken"]) == (12, 10)


def test_the_cores_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    pairs = {(int(a), int(b)) for a, b in rng.integers(0, 30, (200, 2))}
    rows = pl.DataFrame(
        [(f"u{a}", f"i{b}", n) for n, (a, b) in enumerate(sorted(pairs))],
        schema=["user_id", "item_id", "time"], orient="row",
    )  # fmt: skip
    for core in check_crowd(rows.with_row_index("row"), n_items=30)[1]["k_core"]:
        left, before = set(pairs), None
        while left != before:
            before = left
            users, items = [a for a, _ in left], [b for _, b in left]
            left = {(a, b) for a, b in left if users.count(a) >= core["k"] and items.count(b) >= core["k"]}
        assert core["interactions"] == len(left)
        assert core["users"] == len({a for a, _ in left})
        assert core["items"] == len({b for _, b in left})
