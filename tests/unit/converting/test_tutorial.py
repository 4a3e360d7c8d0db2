from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import polars as pl
import pytest
import torch
from tests.tutorial_files import write_checkpoint, write_csv, write_embedding

from visrec.converting.checkpoints import read_checkpoint
from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.splits import by_evaluation, leave_last_out
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features
from visrec.recommender import load_model

ITEMS = ["30", "4", "200", "5", "11", "7"]  # by the tutorial's index
# In time order but for u2's; "a" has a basket at 12, "c" two at 20.
ROWS = [
    ("b", "30", 10), ("a", "4", 11), ("a", "200", 12), ("a", "5", 12), ("c", "30", 13),
    ("b", "7", 15), ("b", "4", 14), ("c", "11", 20), ("c", "7", 20),
]  # fmt: skip
# np.argsort(["b", "a", "c"]) is [1, 0, 2]: b is 1, a is 0, c is 2
USERS = ["a", "b", "c"]
HEADER = "user_id,item_id,timestamp"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "tutorial"
    write_csv(folder / "data" / "wikimedia.csv", HEADER, ROWS)
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    write_embedding(folder / "data" / "embedding-resnet50.npy", [f"{item}.jpg" for item in ITEMS], values)
    return folder


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def _row(name: str, made):
    return next(row for row in made.files if row["file"].endswith(name))


def _state(n_users: int = 3, n_items: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "gamma_users.weight": (n_users, 2), "gamma_items.weight": (n_items, 2), "theta_users.weight": (n_users, 3),
        "embedding.weight": (4, 3), "beta_items.weight": (n_items, 1), "visual_bias.weight": (4, 1),
    }  # fmt: skip
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _indices_csv(folder, *, evaluation: bool = True) -> None:
    """c's 11 and 7 (indices 4, 5) and b's newest held out."""
    number = {user: n for n, user in enumerate(USERS)}
    held = [("b", "7", 15), ("c", "11", 20), ("c", "7", 20)]
    rows = [(number[u], ITEMS.index(i), t, "0") for u, i, t in held]
    write_csv(folder / "data" / "naive-user-evaluation.csv", "user_id,predict,timestamp,profile", rows)


# ---- data ---------------------------------------------------------------------------------------------


def test_a_folder_becomes_a_data_set_with_features(source, data):
    made = convert("tutorial", source, data)
    found = load_dataset(data, missing_images="mask")
    assert sorted(found.catalog.items.written) == sorted(ITEMS)
    pairs = zip(
        found.interactions.users.take(found.interactions.user),
        found.interactions.items.take(found.interactions.item),
        found.interactions.timestamp,
        strict=True,
    )
    assert sorted(pairs) == sorted(ROWS)
    features = Features.load(data / "features" / "resnet50")
    features.align(found.catalog.items)
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    for n, item in enumerate(ITEMS):
        np.testing.assert_array_equal(features.values[features.items.index(item)], values[n])
    assert features.provenance["source"]["file"] == "embedding-resnet50.npy"
    assert _row("wikimedia.csv", made)["became"] == "interactions.csv"
    assert _row("resnet50.npy", made)["became"] == "features/resnet50"
    assert json.loads((data / "conversion.json").read_text())["files"] == made.files


def test_maps_become_regions_and_keep_their_grid(tmp_path, data):
    maps = np.random.default_rng(0).normal(size=(2, 5, 2, 3)).astype(np.float32)
    convert(
        "tutorial",
        write_embedding(tmp_path / "embedding-resnet50-layer4.npy", ["a.jpg", "b.jpg"], maps),
        data,
    )
    features = Features.load(data / "features" / "resnet50-layer4")
    assert (features.kind, features.n_regions, features.dim) == ("regions", 6, 5)
    assert features.provenance["grid"] == [2, 3]
    np.testing.assert_array_equal(features.values[1], maps[1].reshape(5, 6).T)


def test_interactions_with_items_without_features_are_left_out_and_counted(source, data):
    write_csv(source / "data" / "wikimedia.csv", HEADER, [*ROWS, ("z", "99", 1), ("a", "98", 2)])
    made = convert("tutorial", source, data)
    assert any(note.startswith("2 of 11 interactions") for note in made.notes)
    assert load_dataset(data, missing_images="mask").interactions.n_users == 3


def test_images_are_pointed_to_where_they_lie(source, data):
    from PIL import Image

    (source / "images").mkdir()
    for item in [*ITEMS[:-1], "stranger"]:
        Image.new("RGB", (8, 8)).save(source / "images" / f"{item}.png")
    (source / "slides").mkdir()
    Image.new("RGB", (8, 8)).save(source / "slides" / "cover.png")
    made = convert("tutorial", source, data)
    catalog = load_dataset(data, missing_images="mask").catalog
    assert catalog.paths[catalog.items.index("30")] == (source / "images" / "30.png").resolve()
    assert catalog.paths[catalog.items.index("7")] is None
    assert any("1 of 6 items have no image" in note for note in made.notes)
    assert any("1 pictures belong to no item" in note for note in made.notes)
    assert _row("slides/cover.png", made)["became"] == "nothing: left out"


def test_without_features_the_items_are_those_of_images_and_interactions(source, data):
    from PIL import Image

    (source / "data" / "embedding-resnet50.npy").unlink()
    (source / "images").mkdir()
    for item in ["30", "unseen"]:
        Image.new("RGB", (8, 8)).save(source / "images" / f"{item}.png")
    convert("tutorial", source, data)
    items = load_dataset(data, missing_images="mask").catalog.items
    assert set(items.written) == {*ITEMS, "unseen"}


def test_columns_of_items_go_to_the_items(source, data):
    rows = [(*row, f"by-{row[1]}", n) for n, row in enumerate(ROWS)]
    write_csv(source / "data" / "wikimedia.csv", f"{HEADER},artist_id,note", rows)
    made = convert("tutorial", source, data)
    catalog = load_dataset(data, missing_images="mask").catalog
    assert catalog.metadata.filter(pl.col("item_id") == "200")["artist"].to_list() == ["by-200"]
    assert "note" not in catalog.metadata.columns
    assert any("column note" in note and "left out" in note for note in made.notes)


@pytest.mark.parametrize("marks", [("True", "False"), ("1", "0"), ("test", "train")])
def test_the_evaluation_column_marks_the_test(source, data, marks):
    rows = [(*row, marks[0] if row[0] == "c" and row[2] == 20 else marks[1]) for row in ROWS]
    write_csv(source / "data" / "wikimedia.csv", f"{HEADER},evaluation", rows)
    convert("tutorial", source, data)
    split = by_evaluation(load_dataset(data, missing_images="mask").interactions)
    assert sorted(split.test.items.take(split.test.item)) == ["11", "7"]


def test_tutorial_error_6_held_out_rows_of_a_user_stay_several_items(source, data):
    # Indices 4 and 5 of user c must not become index 9.
    _indices_csv(source)
    convert("tutorial", source, data)
    found = load_dataset(data, missing_images="mask").interactions
    test = by_evaluation(found).test
    pairs = zip(test.users.take(test.user), test.items.take(test.item), strict=True)
    assert sorted(pairs) == [("b", "7"), ("c", "11"), ("c", "7")]


def test_tutorial_error_7_the_newest_by_time_are_held_out_and_baskets_stay_whole(source, data):
    # b's last row in the file is not its newest, and the tutorial would hold out one of c's two rows at 20.
    made = convert("tutorial", source, data)
    assert any("each user's newest basket" in note for note in made.notes)
    test = leave_last_out(load_dataset(data, missing_images="mask").interactions).test
    pairs = zip(test.users.take(test.user), test.items.take(test.item), strict=True)
    ours = sorted(pairs)
    assert ours == [("a", "200"), ("a", "5"), ("b", "7"), ("c", "11"), ("c", "7")]
    theirs = sorted({user: item for user, item, _ in ROWS}.items())  # the last row of each in the file
    assert theirs == [("a", "5"), ("b", "4"), ("c", "7")]


# ---- indices and triples ------------------------------------------------------------------------------


def _triples(folder, name="naive-user-train.csv", users=USERS):
    number = {user: n for n, user in enumerate(users)}
    rows = [("0 5", ITEMS.index(i), (ITEMS.index(i) + 1) % 6, number[u]) for u, i, _ in ROWS]
    rows.append((None, 3, 2, -1))
    return write_csv(folder / "data" / name, "profile,pi,ni,ui", rows)


def test_triples_are_written_with_ids(source, data):
    _triples(source)
    made = convert("tutorial", source, data)
    found = pl.read_parquet(data / "triples" / "naive-user-train.parquet")
    assert found["user_id"].to_list() == [*[row[0] for row in ROWS], None]
    assert found["pos"].to_list() == [*[row[1] for row in ROWS], "5"]
    assert found["neg"].to_list()[0] == "4"
    assert found["history"].to_list() == [["30", "7"]] * len(ROWS) + [[]]
    assert _row("train.csv", made)["what"] == "10 triples (1 with an empty profile, 1 of nobody)"
    assert any("checked, all 9 pairs" in note for note in made.notes)
    assert pl.read_csv(data / "indices" / "users.csv")["user_id"].to_list() == USERS


def test_triples_without_the_features_keep_their_indices(source, data):
    _triples(source)
    (source / "data" / "embedding-resnet50.npy").unlink()
    made = convert("tutorial", source, data)
    found = pl.read_parquet(data / "triples" / "naive-user-train.parquet")
    assert found.columns == ["user_index", "history_index", "pos_index", "neg_index"]
    assert found["history_index"].to_list()[0] == [0, 5]
    assert "indices as they are" in _row("train.csv", made)["became"]


def test_the_numbering_of_users_is_the_one_that_fits_the_triples(source, data):
    _triples(source, users=["b", "a", "c"])  # in the order of first use
    convert("tutorial", source, data)
    assert pl.read_csv(data / "indices" / "users.csv")["user_id"].to_list() == ["b", "a", "c"]


def test_triples_of_other_interactions_are_refused(source, data):
    write_csv(source / "data" / "naive-user-train.csv", "profile,pi,ni,ui", [("0", 4, 1, 0), ("0", 4, 1, 1)])
    with pytest.raises(
        DataError, match=r"train\.csv: 2 of its 2 pairs of a user and an item are no interactions"
    ):
        convert("tutorial", source, data)
    assert not data.exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("0", 6, 1, 0), "the item index 6, but there are 6 items"),
        (("0", 0, 1, 3), "the user index 3, but there are 3 users"),
        (("9", 0, 1, 1), "the item index 9, but the features are of 6 items"),
    ],
)
def test_an_index_beyond_the_data_says_both_numbers(source, data, row, message):
    write_csv(source / "data" / "train.csv", "profile,pi,ni,ui", [row])
    with pytest.raises(DataError, match=message):
        convert("tutorial", source, data)


# ---- checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", ["model", "state_dict", "model_state_dict", None])
def test_a_checkpoint_of_vbpr_scores_as_its_equation_says(source, data, wrap):
    state = _state()
    (source / "checkpoints").mkdir()
    torch.save({wrap: state, "epoch": 2} if wrap else state, source / "checkpoints" / "VBPR.pt")
    _indices_csv(source)
    convert("tutorial", source, data)
    model = load_model(data / "models" / "VBPR")
    f = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    p = {name: t.numpy() for name, t in state.items()}
    for u, user in enumerate(USERS):
        for i, item in enumerate(ITEMS):
            expected = p["beta_items.weight"][i, 0] + f[i] @ p["visual_bias.weight"][:, 0]
            expected += p["gamma_users.weight"][u] @ p["gamma_items.weight"][i]
            expected += p["theta_users.weight"][u] @ (f[i] @ p["embedding.weight"])
            assert model.score([user], [item])[0, 0] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    # What was held out is not in its histories, so that it is a candidate.
    test = by_evaluation(load_dataset(data, missing_images="mask").interactions).test
    assert not set(model.histories.of(2)) & set(test.item[test.user == 2].tolist())


def test_a_checkpoint_of_other_data_says_both_numbers(source, data):
    write_checkpoint(source / "VBPR.tar", _state(n_users=4))
    with pytest.raises(
        DataError, match=r"gamma_users\.weight has 4 rows, one for each user, but the data have 3 users"
    ):
        convert("tutorial", source, data)
    write_checkpoint(source / "VBPR.tar", _state(n_items=7))
    with pytest.raises(DataError, match=r"gamma_items\.weight has 7 rows, .* 6 items"):
        convert("tutorial", source, data)
    assert not data.exists()


def test_a_checkpoint_is_matched_to_its_features_by_their_values(source, data):
    values = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    write_embedding(source / "data" / "embedding-vgg16.npy", [f"{item}.jpg" for item in ITEMS], values)
    state = _state()
    write_checkpoint(source / "VBPR.tar", state)
    with pytest.raises(DataError, match="may have been trained on any of resnet50, vgg16"):
        convert("tutorial", source, data)
    write_checkpoint(source / "VBPR.tar", {**state, "features.weight": torch.from_numpy(values)})
    made = convert("tutorial", source, data)
    assert _row("VBPR.tar", made)["became"] == "models/VBPR, with the features vgg16"


def test_a_checkpoint_with_other_features_than_those_given_is_refused(source, data):
    write_checkpoint(source / "VBPR.tar", {**_state(), "features.weight": torch.zeros(6, 4)})
    with pytest.raises(DataError, match="trained on other features than those in resnet50"):
        convert("tutorial", source, data)
    write_checkpoint(source / "VBPR.tar", {**_state(), "embedding.weight": torch.zeros(5, 3)})
    with pytest.raises(DataError, match=r"features \(vector\) of length 5; found: resnet50 \(vector, 4\)"):
        convert("tutorial", source, data)


def test_a_checkpoint_alone_asks_for_what_numbers_its_rows(tmp_path, data):
    with pytest.raises(DataError, match=r"a checkpoint of vbpr.*Put both beside it"):
        convert("tutorial", write_checkpoint(tmp_path / "VBPR.tar", _state()), data)


def test_a_diverged_checkpoint_is_refused(source, data):
    write_checkpoint(source / "VBPR.tar", {**_state(), "visual_bias.weight": torch.full((4, 1), torch.nan)})
    with pytest.raises(DataError, match=r"visual_bias\.weight holds NaN"):
        convert("tutorial", source, data)


def _refused(path, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(str(path))
    assert len(str(error.value)) < 400 + len(str(path))


@pytest.mark.parametrize("old", [False, True])
def test_a_tensor_that_shows_one_number_a_billion_times_is_refused(tmp_path, old):
    path = tmp_path / "VBPR.tar"
    state = {**_state(), "visual_bias.weight": torch.zeros(1).expand(4_000_000_000)}
    torch.save({"model": state}, path, _use_new_zipfile_serialization=not old)
    assert path.stat().st_size < 10_000
    _refused(path, r"visual_bias\.weight claims 16,000,000,000 bytes, and the file holds 4 of them")


def test_numbers_that_stand_for_many_tensors_are_refused(tmp_path):
    one = torch.zeros(100_000)
    path = write_checkpoint(tmp_path / "VBPR.tar", {f"layer{n}": one for n in range(9)})
    _refused(path, r"claims 3,600,000 bytes of tensors in a file of 4\d\d,\d\d\d bytes")
    path = write_checkpoint(tmp_path / "tied.tar", {"first": one, "second": one})
    assert set(read_checkpoint(path).state) == {"first", "second"}


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    path = write_checkpoint(tmp_path / "plain.tar", {"layer": torch.zeros(1_000_000)})
    with (
        zipfile.ZipFile(path) as plain,
        zipfile.ZipFile(tmp_path / "VBPR.tar", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert (tmp_path / "VBPR.tar").stat().st_size < 50_000
    _refused(
        tmp_path / "VBPR.tar", r"claims 4,\d\d\d,\d\d\d bytes of tensors in a file of \d\d?,\d\d\d bytes"
    )


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
def test_tensors_without_numbers_in_the_file_are_refused(tmp_path):
    state = {**_state(), "visual_bias.weight": torch.empty(4_000_000_000, device="meta")}
    _refused(write_checkpoint(tmp_path / "VBPR.tar", state), r"visual_bias\.weight is no plain tensor")
    state["visual_bias.weight"] = torch.zeros(4, 1).to_sparse()
    _refused(write_checkpoint(tmp_path / "VBPR.tar", state), r"visual_bias\.weight is no plain tensor")


class _Code:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("old", [False, True])
def test_tutorial_error_14_nothing_that_a_checkpoint_names_is_run(source, data, tmp_path, old):
    mark = tmp_path / "mark"
    state = {**_state(), "code": _Code(f"touch {mark}")}
    torch.save({"model": state}, source / "VBPR.tar", _use_new_zipfile_serialization=not old)
    with pytest.raises(DataError, match=r"VBPR\.tar: wants to run (posix|nt|os)\.system"):
        convert("tutorial", source, data)
    assert not mark.exists()
    assert not data.exists()


def test_arrays_beside_the_tensors_are_read_without_numpy(source, data):
    # ACF's checkpoints hold the arguments of the model, two arrays among them.
    arguments = {"users": np.arange(3), "items": np.arange(1, 7)}
    write_checkpoint(source / "VBPR.tar", _state(), model_args=arguments)
    convert("tutorial", source, data)
    assert (data / "models" / "VBPR" / "config.json").exists()


class _WickedArray:
    """An array of objects whose type lacks the flag that says so: NumPy would take its bytes for addresses."""

    def __reduce__(self):
        reconstruct = np.zeros(1).__reduce__()[0]
        return reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), _WickedType(), False, b"A" * 8)


class _WickedType:
    def __reduce__(self):
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, 8, 8, 0)


def test_tutorial_error_14_a_wicked_array_beside_the_tensors_is_refused(source, data):
    write_checkpoint(source / "VBPR.tar", _state(), model_args={"users": _WickedArray()})
    with pytest.raises(
        DataError, match=r"VBPR\.tar: is not a checkpoint that torch can read.*1 objects, and holds bytes"
    ):
        convert("tutorial", source, data)


def test_a_checkpoint_of_acf_whose_history_has_a_table_of_its_own_is_refused(source, data):
    K = 2
    state = {
        name: torch.zeros(shape)
        for name, shape in {
            "item_model.weight": (7, K), "user_model.user_embedding.weight": (3, K),
            "user_model.feats.dim_reductor.weight": (K, 4), "user_model.feats.dim_reductor.bias": (K,),
        }.items()
    }  # fmt: skip
    for layer in ("feats.w_u", "feats.w_x", "w_u", "w_p", "w_x", "w_v"):
        state[f"user_model.{layer}.weight"] = torch.zeros(K, K)
        state[f"user_model.{layer}.bias"] = torch.zeros(K)
    for layer in ("feats.w", "w"):
        state[f"user_model.{layer}.weight"] = torch.zeros(1, K)
        state[f"user_model.{layer}.bias"] = torch.zeros(1)
    state["user_model.profile_embedding.weight"] = torch.ones(7, K)
    maps = np.random.default_rng(0).normal(size=(6, 4, 1, 2)).astype(np.float32)
    write_embedding(source / "data" / "embedding-layer4.npy", ITEMS, maps)
    torch.save({"state_dict": state}, source / "ACF.tar")
    with pytest.raises(
        DataError, match=r"item_model\.weight and user_model\.profile_embedding\.weight differ"
    ):
        convert("tutorial", source, data)


def test_tensors_of_other_models_are_left_out(source, data):
    torch.save({"conv1.weight": torch.zeros(2)}, source / "resnet50-0676ba61.pth")
    made = convert("tutorial", source, data)
    assert _row("0676ba61.pth", made)["what"] == "tensors of none of the tutorial's models: conv1.weight"


# ---- the folder ---------------------------------------------------------------------------------------


def test_what_is_there_is_never_replaced(source, data):
    data.mkdir()
    (data / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        convert("tutorial", source, data)
    assert [path.name for path in data.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_a_conversion_that_fails(source, data):
    (source / "data" / "embedding-z.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(DataError, match=r"embedding-z\.npy"):
        convert("tutorial", source, data)
    assert [path.name for path in data.parent.iterdir()] == ["tutorial"]


def test_features_of_other_items_or_in_another_order_are_refused(source, data):
    rows = np.zeros((6, 4), dtype=np.float32)
    write_embedding(source / "data" / "embedding-vgg16.npy", ITEMS[::-1], rows)
    with pytest.raises(DataError, match="in another order than embedding-resnet50"):
        convert("tutorial", source, data)
    write_embedding(source / "data" / "embedding-vgg16.npy", ITEMS[:-1], rows[:-1])
    with pytest.raises(DataError, match=r"has 5 items, embedding-resnet50\.npy 6: '7' is not in it"):
        convert("tutorial", source, data)


def test_two_tables_of_interactions_are_refused(source, data):
    write_csv(source / "data" / "ugallery.csv", HEADER, ROWS)
    with pytest.raises(
        DataError, match=r"several tables of interactions: data/ugallery\.csv, data/wikimedia\.csv"
    ):
        convert("tutorial", source, data)


def test_a_folder_with_nothing_of_the_tutorial_is_an_error(tmp_path, data):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="none of the tutorial's files"):
        convert("tutorial", tmp_path / "empty", data)
    with pytest.raises(DataError, match="does not exist"):
        convert("tutorial", tmp_path / "nowhere", data)


def test_files_of_no_kind_are_named(source, data):
    (source / "README.md").write_text("hello")
    np.save(source / "scores.npy", np.zeros(3))
    write_csv(source / "results.csv", "model,auc", [("VBPR", 0.7)])
    (source / "old.tar").write_bytes(b"something else")
    made = convert("tutorial", source, data)
    left = {row["file"]: row["what"] for row in made.files if row["became"] == "nothing: left out"}
    assert left == {
        "README.md": "of no kind that is converted",
        "scores.npy": "an array without names of items",
        "results.csv": "columns of no table of the tutorial: model,auc",
        "old.tar": "was not written by torch.save",
    }
