from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

from visrec import config, recommender
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.errors import ConfigError, DataError, NotFittedError, RunError, UnsupportedError
from visrec.models.item_knn import ItemKNN, ItemKNNConfig
from visrec.models.popularity import Popularity, PopularityConfig
from visrec.recommender import Queries, Recommender, load_model

U, I = 6, 9  # noqa: E741


class FixedConfig(config.Config):
    """Settings of `Fixed`."""

    sparse: bool = False


class Fixed(Recommender):
    """Given vectors: q_u = (u + 1, 1), z_i = (i, -1), so that x_ui = (u + 1) i - 1."""

    Config = FixedConfig
    new_users = False
    new_items = True
    paper = "a test"

    def _fit(self, fitting):
        if fitting.progress is not None:
            fitting.progress(1, 1, "half way")

    def encode_items(self, items):
        z = torch.stack([items.float(), -torch.ones(len(items))], dim=1)
        return z.to_sparse() if self.config.sparse else z

    def encode_queries(self, queries):
        return torch.stack([queries.user.float() + 1, torch.ones(len(queries))], dim=1)

    def state(self):
        return {"Z": self.Z}

    def restore(self, state):
        self.Z = state["Z"]


@pytest.fixture
def train():
    """User u took items u and u + 1; item 8 nobody."""
    users = IdMap([f"u{n}" for n in range(U)], kind="user")
    items = IdMap([f"i{n}" for n in range(I)], kind="item")
    user = np.repeat(np.arange(U), 2)
    item = user + np.tile([0, 1], U)
    return Interactions(user, item, np.arange(2 * U), np.ones(2 * U), users, items)


EXPECTED = (np.arange(U)[:, None] + 1) * np.arange(I) - 1.0


@pytest.mark.parametrize("sparse", [False, True])
def test_the_score_is_the_dot_product_of_the_encoders(train, sparse):
    model = Fixed(sparse=sparse).fit(train)
    np.testing.assert_allclose(model.score(train.users.values.to_list()), EXPECTED)


def test_blocks_of_items_and_queries_change_nothing(train, monkeypatch):
    whole = Fixed().fit(train).recommend(train.users.values.to_list(), k=4)
    monkeypatch.setattr(recommender, "_BLOCK", 2)
    monkeypatch.setattr("visrec.recommender._FEWEST", 1)
    monkeypatch.setattr(Recommender, "block_cells", 2 * I)
    model = Fixed().fit(train)
    blocks = [block.tolist() for block, _ in model.query_blocks(np.arange(5))]
    assert blocks == [[0, 1], [2, 3], [4]]
    assert model.recommend(train.users.values.to_list(), k=4).equals(whole)
    monkeypatch.setattr("visrec.recommender._FEWEST", 1)
    monkeypatch.setattr(Recommender, "block_cells", 1)  # less than one user needs: still one at a time
    assert [len(block) for block, _ in model.query_blocks(np.arange(3))] == [1, 1, 1]


def test_long_histories_make_blocks_smaller_only_where_vectors_are_pooled(train, monkeypatch):
    monkeypatch.setattr("visrec.recommender._FEWEST", 1)
    monkeypatch.setattr(Recommender, "block_cells", 4 * I)
    dense, sparse = Fixed().fit(train), Fixed(sparse=True).fit(train)
    dense.Z = torch.zeros(I, 2 * I)  # a history of 2 is 4 I floats: a block to itself
    assert [len(block) for block, _ in dense.query_blocks(np.arange(4))] == [1, 1, 1, 1]
    sparse.Z = dense.Z.to_sparse()
    assert [len(block) for block, _ in sparse.query_blocks(np.arange(4))] == [4]


def test_blocks_of_a_large_catalogue_have_more_scores_up_to_a_bound(train, monkeypatch):
    monkeypatch.setattr(Recommender, "block_cells", I)
    monkeypatch.setattr("visrec.recommender._FEWEST", 3)
    model = Fixed().fit(train)
    assert [len(block) for block, _ in model.query_blocks(np.arange(U))] == [3, 3]
    monkeypatch.setattr("visrec.recommender._MOST", 2 * I)
    assert [len(block) for block, _ in model.query_blocks(np.arange(U))] == [2, 2, 2]


def test_scores_of_blocks_are_written_to_one_place(train, monkeypatch):
    monkeypatch.setattr(Recommender, "block_cells", 2 * I)
    monkeypatch.setattr("visrec.recommender._FEWEST", 1)
    places = set()
    for block, queries, scores in Fixed().fit(train).score_blocks(np.arange(5)):
        assert scores.tolist() == EXPECTED[block].tolist()
        assert queries.user.tolist() == block.tolist()
        places.add(scores.data_ptr())
    assert len(places) == 1


@pytest.mark.parametrize("sparse", [False, True])
def test_scores_are_written_where_they_are_wanted(train, sparse):
    model = Fixed(sparse=sparse).fit(train)
    out = torch.zeros(2, I)
    found = model.score_queries(model.queries(np.array([3, 1])), out=out)
    assert found.data_ptr() == out.data_ptr()
    assert out.tolist() == EXPECTED[[3, 1]].tolist()


def test_recommend_masks_what_was_seen_and_keeps_the_order_asked(train):
    table = Fixed().fit(train).recommend(["u5", "u0"], k=3)
    assert table["user_id"].to_list() == ["u5"] * 3 + ["u0"] * 3
    assert table["item_id"].to_list() == ["i8", "i7", "i4", "i8", "i7", "i6"]
    assert table["score"].to_list() == [47.0, 41.0, 23.0, 7.0, 6.0, 5.0]
    assert table["rank"].to_list() == [1, 2, 3, 1, 2, 3]


def test_a_user_asked_for_twice_gets_two_lists(train):
    assert Fixed().fit(train).recommend(["u1", "u1"], k=2)["rank"].to_list() == [1, 2, 1, 2]


@pytest.mark.parametrize("k", [0, -1])
def test_a_list_of_nothing_is_refused(train, k):
    model = Popularity().fit(train)
    for ask in (model.recommend, model.similar_items, model.recommend_for_history):
        with pytest.raises(ConfigError, match="at least 1"):
            ask(["u1"], k=k)


def test_an_empty_history_is_refused(train):
    with pytest.raises(ConfigError, match="empty"):
        Popularity().fit(train).recommend_for_history([])


def test_an_item_without_a_vector_is_compared_with_nothing(train):
    model = ItemKNN().fit(train)
    with pytest.raises(UnsupportedError, match="knows nothing of item 'i8'"):
        model.similar_items(["i0", "i8"])


def test_padding_has_a_mask_and_stands_for_no_item():
    queries = Queries.of([np.array([5, 3]), np.array([], dtype=np.int64), np.array([0])], np.array([7, 8, 9]))
    assert queries.history.tolist() == [[5, 3], [0, 0], [0, 0]]
    assert queries.mask.tolist() == [[True, True], [False, False], [True, False]]
    assert queries.user.tolist() == [7, 8, 9]
    assert len(queries) == 3
    assert Queries.of([]).history.shape == (0, 0)


def test_settings_come_as_keywords_or_as_a_config():
    assert ItemKNN(neighbors=3).config == ItemKNN(ItemKNNConfig(neighbors=3)).config
    assert ItemKNN(ItemKNNConfig(neighbors=3), shrinkage=0).config.shrinkage == 0
    with pytest.raises(ConfigError, match="takes a ItemKNNConfig, not PopularityConfig"):
        ItemKNN(PopularityConfig())
    with pytest.raises(ConfigError, match="unknown setting 'neighbours'"):
        ItemKNN(neighbours=3)


def test_there_must_be_something_to_learn_from(train):
    with pytest.raises(DataError, match="no interactions"):
        Popularity().fit(train.where(np.zeros(len(train), dtype=bool)))


def test_validation_must_be_on_the_same_ids(train):
    other = Interactions(
        train.user, train.item, train.timestamp, train.weight, IdMap("abcdef", kind="user"), train.items
    )
    with pytest.raises(DataError, match="one split"):
        Popularity().fit(train, valid=other)


def test_a_model_whose_fitting_broke_off_is_not_fitted(train):
    def stop(done, total, note):
        raise KeyboardInterrupt

    model = Fixed().fit(train)
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, progress=stop)
    with pytest.raises(NotFittedError):
        model.recommend(["u0"])


def test_a_saved_model_replaces_the_older_one_as_a_whole(train, tmp_path):
    folder = tmp_path / "model"
    Popularity().fit(train).save(folder)
    (folder / "stray").touch()
    ItemKNN().fit(train).save(folder)
    assert isinstance(load_model(folder), ItemKNN)
    assert not (folder / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_facts_kept_with_a_model_are_in_its_config_json(train, tmp_path):
    Popularity().fit(train).save(tmp_path / "model", extra={"seconds": 1.5})
    about = json.loads((tmp_path / "model" / "config.json").read_text())
    assert about["extra"] == {"seconds": 1.5}
    assert about["model"] == "visrec.models.popularity:Popularity"


def test_a_class_that_is_not_registered_is_not_loaded(train, tmp_path):
    Fixed().fit(train).save(tmp_path / "model")
    with pytest.raises(RunError, match="Fixed, which is not registered"):
        load_model(tmp_path / "model")


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(RunError, match=r"not a model folder \(no config.json\)"):
        load_model(tmp_path)
    with pytest.raises(RunError, match="not a model folder"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="not a model folder"):
        load_model(tmp_path / "file")


@pytest.mark.parametrize(
    "about",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 1}',
        '{"format": 1, "model": "visrec.models.popularity:Popularity", "config": []}',
        '{"format": 1, "model": "visrec.models.popularity:Popularity", "config": {"unknown": 1}}',
        '{"format": 1, "model": "visrec.models.popularity:Popularity", "config": {}, "files": []}',
        '{"format": 1, "model": "visrec.models.popularity:Popularity", "config": {}, "files": {}}',
    ],
)
def test_a_config_json_of_something_else_is_refused(train, tmp_path, about):
    Popularity().fit(train).save(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(about)
    with pytest.raises(RunError, match="not a model that visrec can read"):
        load_model(tmp_path / "model")


def test_a_later_format_is_named(train, tmp_path):
    Popularity().fit(train).save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RunError, match="format 2; this visrec reads format 1"):
        load_model(tmp_path / "model")


def test_ids_keep_their_type_each_of_its_own(tmp_path):
    users, items = IdMap([3, 1, 20], kind="user"), IdMap(["3", "x", "020"], kind="item")
    train = Interactions(
        np.array([0, 1]), np.array([0, 1]), np.arange(2), np.ones(2, dtype=np.float32), users, items
    )
    Popularity().fit(train).save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.users == users
    assert loaded.items == items
    assert loaded.users.values.dtype == pl.Int64
    assert loaded.items.values.dtype == pl.String


# ---- queries -------------------------------------------------------------------------------------------


def test_queries_are_padded_behind_their_histories_and_cut_to_the_newest():
    lists = [[4, 2, 7], [], [5]]
    queries = Queries.of([np.array(one, dtype=np.int64) for one in lists], np.array([2, 0, 1]))
    assert queries.history.tolist() == [[4, 2, 7], [0, 0, 0], [5, 0, 0]]
    assert queries.mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    assert queries.user.tolist() == [2, 0, 1]
    for n in (1, 2, 3, 9):
        cut = queries.newest(n)
        found = [row[mask].tolist() for row, mask in zip(cut.history, cut.mask, strict=True)]
        assert found == [one[-n:] for one in lists]
        assert (cut.history[~cut.mask] == 0).all()
    assert queries.newest(None) is queries


def test_queries_of_users_alone_have_no_history():
    queries = Queries.of_users(np.array([3, 1]))
    assert queries.user.tolist() == [3, 1]
    assert queries.history.shape == queries.mask.shape == (2, 0)
    assert len(queries) == 2
