"""What every model is: two encoders whose dot product is the score. All the rest is written here, once.

`encode_items(items) -> Z (n, d)`, `encode_queries(queries) -> Q (B, d)`, `score = Q @ Z.T`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from visrec import config as configs
from visrec import registry
from visrec.content import Content, Kind
from visrec.data.ids import IdMap
from visrec.data.interactions import Histories, Interactions
from visrec.errors import ConfigError, DataError, FeaturesError, NotFittedError, RunError, UnsupportedError
from visrec.features.features import Features
from visrec.files import file_digest, read_json, replacing, replacing_folder, write_json
from visrec.progress import Progress
from visrec.ranking import check_finite, room_for, top_k

T = TypeVar("T")
FORMAT = 1
_DIGESTED = ("model.safetensors", "ids.parquet")
_BLOCK = 4096  # items encoded at once when the whole catalogue is
_FEWEST, _MOST = (
    64,
    1 << 26,
)  # queries at once whose scores may need more than a block, up to 256 MiB: see query_blocks


@dataclass(frozen=True, eq=False)
class Queries:
    """For whom to rank. Padding has an explicit mask; it never stands for an item.

    Attributes:
        user: `(B,)` int64 user indices; None for visitors, who have a history and no account. In training, -1
            where a history is made up.
        history: `(B, H)` int64 item indices, oldest first; 0 where the mask is False.
        mask: `(B, H)` bool, True at real items.
        weight: `(B, H)` float32: how much each item of a history is liked; below 0 "less of this", at 0 it does not
            count, as at padding. None: all count the same, as in training.
        pictures: `(B, P, F)` float32: pictures that are no items, as vectors finished as the model's features are;
            None: there are none.
        picture_weight: `(B, P)` float32, like `weight`; None where there are no pictures.
    """

    user: Tensor | None
    history: Tensor
    mask: Tensor
    weight: Tensor | None = None
    pictures: Tensor | None = None
    picture_weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.history)

    @classmethod
    def of(
        cls,
        histories: Sequence[np.ndarray],
        users: np.ndarray | None = None,
        *,
        weights: Sequence[np.ndarray] | None = None,
        pictures: Sequence[np.ndarray] | None = None,
        picture_weights: Sequence[np.ndarray] | None = None,
    ) -> Queries:
        """Of one list of item indices `(h,)` each.

        Args:
            histories: B lists.
            users: `(B,)` indices.
            weights: B arrays `(h,)`; None: histories have no weights.
            pictures: B arrays `(p, F)` of vectors; None: there are none.
            picture_weights: B arrays `(p,)`; None: all are 1.

        Raises:
            ConfigError: there are not as many weights as items or pictures.
        """
        indptr = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
        items = np.concatenate([np.zeros(0, dtype=np.int64), *histories])
        found = cls.padded(Histories(indptr, items), users)
        if weights is not None:
            _check_weights(weights, histories, "items")
            weight = torch.zeros(found.mask.shape)
            weight[found.mask] = torch.from_numpy(np.concatenate([np.zeros(0), *weights]).astype(np.float32))
            found = replace(found, weight=weight)
        if pictures is not None:
            of = [np.ones(len(one)) for one in pictures] if picture_weights is None else picture_weights
            _check_weights(of, pictures, "pictures")
            longest, width = max(map(len, pictures)), pictures[0].shape[1]
            shown, weight = torch.zeros(len(pictures), longest, width), torch.zeros(len(pictures), longest)
            for row, (vectors, its) in enumerate(zip(pictures, of, strict=True)):
                shown[row, : len(vectors)] = torch.from_numpy(np.asarray(vectors, dtype=np.float32))
                weight[row, : len(vectors)] = torch.from_numpy(np.asarray(its, dtype=np.float32))
            found = replace(found, pictures=shown, picture_weight=weight)
        return found

    @classmethod
    def padded(cls, histories: Histories, users: np.ndarray | None = None) -> Queries:
        """Of ragged histories, one row each, padded to one batch."""
        lengths = histories.lengths
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (B, H)
        history = np.zeros(mask.shape, dtype=np.int64)
        history[mask] = histories.items
        user = None if users is None else torch.from_numpy(np.asarray(users, dtype=np.int64))
        return cls(user, torch.from_numpy(history), torch.from_numpy(mask))

    def part(self, rows: slice) -> Queries:
        """Some of them."""
        return replace(self, **{name: of[rows] for name, of in vars(self).items() if of is not None})

    @classmethod
    def of_users(cls, users: np.ndarray) -> Queries:
        """Of users `(B,)` whose histories do not matter: all are empty."""
        nothing = torch.zeros((len(users), 0), dtype=torch.int64)
        return cls(torch.from_numpy(np.asarray(users, dtype=np.int64)), nothing, nothing.bool())

    def newest(self, n: int | None) -> Queries:
        """With at most the newest n items of each history; None: with all."""
        if n is None or self.history.shape[1] <= n:
            return self
        lengths = self.mask.sum(1, keepdim=True)  # (B, 1); real items come first in a row
        place = (lengths - n).clamp_min(0) + torch.arange(n)  # (B, n)
        inside = place < lengths
        place = place.clamp_max(self.history.shape[1] - 1)
        return replace(
            self,
            history=self.history.gather(1, place) * inside,
            mask=self.mask.gather(1, place) & inside,
            weight=None if self.weight is None else self.weight.gather(1, place) * inside,
        )


@dataclass(frozen=True, eq=False)
class Fitting:
    """What a model is fitted on.

    Attributes:
        train: what users took.
        content: all that was given beside; the kind that the model needs is `Recommender.features` already.
        valid: held-out interactions on the same ids, or None.
        checkpoint: a file to write after each epoch and to go on from, or None.
        progress: called with (done, total, note), or None.
    """

    train: Interactions
    content: Content
    valid: Interactions | None
    checkpoint: Path | None
    progress: Progress | None


class Recommender(ABC):
    """Base of all models. A model writes `_fit` and the two encoders; everything public is final.

    Class attributes say what a model needs and can do:

    Attributes:
        Config: its settings, a `visrec.config.Config`.
        needs: the content it learns from: "none", "vector", "regions" or "image" (pixels).
        learns: from what: "nothing", "counts", a "closed form", "least squares" by turns, or "pairs", of a
            positive and negatives.
        query: what the query vector is made of: "nothing", the "user", the "history", or "both".
        new_users: whether it serves a history without a user, without training.
        new_items: whether it can tell items that nobody has taken yet from one another.
        personal: whether its order of the items follows what the user took.
        weighs: whether the items of a history may have weights, also negative ones.
        new_pictures: whether a history may hold pictures that are no items.
        edition: a number that rises when the same settings and data give another model than they did.
        block_cells: how many floats of scores, or of padded history vectors, many users are ranked with at once.
        paper: where it comes from.
    """

    Config: ClassVar[type[configs.Config]]
    needs: ClassVar[Kind] = "none"
    learns: ClassVar[Literal["nothing", "counts", "closed form", "least squares", "pairs"]]
    query: ClassVar[Literal["nothing", "user", "history", "both"]] = "both"
    new_users: ClassVar[bool]
    new_items: ClassVar[bool]
    personal: ClassVar[bool] = True
    weighs: ClassVar[bool] = False
    new_pictures: ClassVar[bool] = False
    edition: ClassVar[int] = 1
    block_cells: ClassVar[int] = 1 << 24  # 64 MiB
    paper: ClassVar[str]

    def __init__(self, config: configs.Config | None = None, **settings: Any) -> None:
        """Take a `Config`, or its fields as keywords. Raises `ConfigError` for a wrong one."""
        super().__init__()
        if config is not None and not isinstance(config, self.Config):
            raise ConfigError(
                f"{type(self).__name__} takes a {self.Config.__name__}, not {type(config).__name__}."
            )
        self.config = config.replace(**settings) if config is not None else self.Config(**settings)
        self.Z: Tensor | None = None
        self.features: Features | None = None
        self.features_digest: str | None = None
        self.training_log: list[dict[str, Any]] = []
        self.notes: tuple[str, ...] = ()
        """What fitting it left out that a reader of its results should know, such as strategies of the sampler."""
        self._users: IdMap | None = None
        self._items: IdMap | None = None
        self._histories: Histories | None = None

    @property
    def learns_from(self) -> tuple[Kind, ...]:
        """The kinds of content that fitting it reads: what it needs, and what its way of learning asks for beside."""
        return () if self.needs == "none" else (self.needs,)

    def content_digests(self, content: Content) -> dict[str, str | None]:
        """Digests of whatever in a content decides what is learnt: a model is trained again where they change."""
        features = content.wanted(self.needs, type(self).__name__)
        return {"features": None if features is None else features.digest}

    # ---- what a model writes -----------------------------------------------------------------------

    @abstractmethod
    def _fit(self, fitting: Fitting) -> None:
        """Learn. `self.features` is aligned to the items already where the model needs content."""

    @abstractmethod
    def encode_items(self, items: Tensor) -> Tensor:
        """Item vectors `(n, d)` of item indices `(n,)`; a sparse tensor is allowed."""

    @abstractmethod
    def encode_queries(self, queries: Queries) -> Tensor:
        """Query vectors `(B, d)`."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All that was learnt, by name: what `save` writes and `load` hands to `restore`."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave, in a model that was never fitted."""

    def pool(self, queries: Queries, Z: Tensor, out: Tensor | None = None) -> Tensor:
        """Scores of queries for item vectors: their dot product.

        Only a model with several vectors per query (VisRank) has a reason to override it.

        Args:
            queries: B users or visitors.
            Z: `(n, d)` vectors of some items or all.
            out: `(B, n)` float32, where scores are written; None: to a new tensor.

        Returns:
            `(B, n)` float32.
        """
        Q = self.encode_queries(queries)
        out = room_for(len(Q), len(Z)) if out is None else out
        return out.copy_(torch.sparse.mm(Z, Q.T).T) if Z.is_sparse else torch.mm(Q, Z.T, out=out)

    def probes(self, queries: Queries) -> tuple[Tensor, Tensor] | None:
        """Vectors whose largest inner product with an item's vector is the score, for search without all scores.

        Returns:
            Vectors `(B, P, d)`, and which of them count `(B, P)` bool, where a query without any scores 0 throughout;
            None if there are no such vectors, and every score must be computed.
        """
        if type(self).pool is not Recommender.pool or self._fitted(self.Z).is_sparse:
            return None
        Q = self.encode_queries(queries)
        return Q[:, None], torch.ones(len(Q), 1, dtype=torch.bool)

    def encode_catalog(self) -> Tensor:
        """The vectors `(I, d)` of all items, in blocks; a model that has them already has a reason to override it."""
        blocks = torch.arange(len(self.items)).split(_BLOCK)
        first = self.encode_items(blocks[0])
        if first.is_sparse:
            return torch.cat([first, *(self.encode_items(block) for block in blocks[1:])])
        Z = first.new_empty(len(self.items), *first.shape[1:])
        Z[: len(first)] = first
        for block in blocks[1:]:
            Z[block] = self.encode_items(block)
        return Z

    def similarity_vectors(self) -> Tensor | None:
        """Vectors `(I, m)` whose cosine says how alike two items are to this model; None if it cannot say."""
        return None

    # ---- learning ----------------------------------------------------------------------------------

    @final
    def fit(
        self,
        train: Interactions,
        content: Features | Content | None = None,
        *,
        valid: Interactions | None = None,
        checkpoint: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from interactions, and from content if the model needs it. If it fails, the model is not fitted.

        Args:
            train: what users took.
            content: features of the items, matched to `train.items` by id, or a `Content` with several kinds of
                them. Models that need none ignore it.
            valid: held-out interactions on the same ids, for early stopping; models that do not train by
                epochs ignore them.
            checkpoint: a file to write after each epoch, and to go on from if it is there.
            progress: called with (epochs done, epochs at most, note).

        Raises:
            DataError: there are no interactions, or `valid` is on other ids.
            FeaturesError: content is missing, or of another catalogue.
            DivergedError: training produced numbers that are not finite.
        """
        if len(train) == 0:
            raise DataError("There are no interactions to learn from.")
        if valid is not None and (valid.users != train.users or valid.items != train.items):
            raise DataError("valid is on other users or items than train; make both with one split.")
        given = Content.of(content)
        found = given.wanted(self.needs, type(self).__name__)
        if found is not None:
            self.features = found.align(train.items)
            self.features_digest = self.features.digest
        self._users, self._items, self._histories = train.users, train.items, train.histories()
        try:
            file = None if checkpoint is None else Path(checkpoint)
            self._fit(Fitting(train, given, valid, file, progress))
            self.refresh()
        except BaseException:  # also an interruption: what is half trained must not rank
            self._users = self._items = self._histories = self.Z = None
            raise
        return self

    @final
    def refresh(self) -> None:
        """Encode the whole catalogue into `self.Z`, which lies on the CPU wherever the model does."""
        self.Z = None  # or there were two
        with torch.no_grad():
            self.Z = self.encode_catalog().cpu()

    # ---- what a fitted model knows -----------------------------------------------------------------

    @property
    def users(self) -> IdMap:
        """The users it was fitted on."""
        return self._fitted(self._users)

    @property
    def items(self) -> IdMap:
        """The items it was fitted on."""
        return self._fitted(self._items)

    @property
    def histories(self) -> Histories:
        """What each user took in the training data, oldest first."""
        return self._fitted(self._histories)

    def _fitted(self, value: T | None) -> T:
        if value is None:
            name = type(self).__name__
            raise NotFittedError(
                f"{name} is not fitted. Call {name}().fit(train, …) first, or visrec.load_model(path)."
            )
        return value

    @final
    def queries(self, users: np.ndarray) -> Queries:
        """The queries of users by index `(B,)`, each with the history of the training data."""
        return Queries.padded(self.histories.take(users), users)

    def query_cells(self, longest: int) -> int:
        """Floats that one query holds while it is scored, beside its scores, of a history of `longest` items."""
        Z = self._fitted(self.Z)
        width = 0 if Z.is_sparse else Z.shape[1]
        return longest * width if self.query in ("history", "both") else width

    @final
    def query_blocks(self, users: np.ndarray) -> Iterator[tuple[np.ndarray, Queries]]:
        """Users by index, in blocks whose scores and history vectors stay within a fixed memory.

        Of large catalogues a block may be larger, up to a bound: a product of few queries costs each several times
        what it costs of many, since all item vectors are read for it.
        """
        self._fitted(self.Z)
        lengths, n_items = self.histories.lengths, len(self.items)
        limit = max(self.block_cells, min(_FEWEST * n_items, _MOST))
        most = max(1, limit // n_items)
        start = 0
        while start < len(users):
            longest = np.maximum.accumulate(lengths[users[start : start + most]])
            each, place = np.unique(longest, return_inverse=True)
            cells = np.array([max(n_items, self.query_cells(int(one))) for one in each])[place]
            fit = int((np.arange(1, len(cells) + 1) * cells <= limit).sum())  # the first so many
            block = users[start : start + max(1, fit)]
            yield block, self.queries(block)
            start += len(block)

    @final
    def score_blocks(self, users: np.ndarray) -> Iterator[tuple[np.ndarray, Queries, Tensor]]:
        """The blocks of `query_blocks`, each with the scores `(b, I)` float32 of all items.

        The next block's scores are written over those of the last, which are the caller's to change until then:
        memory that was never touched costs more time than it takes to fill it.
        """
        held = room_for(0, len(self.items))
        for block, queries in self.query_blocks(users):
            if len(block) > len(held):
                del held
                held = room_for(len(block), len(self.items))
            yield block, queries, self.score_queries(queries, out=held[: len(block)])

    @final
    def score_queries(self, queries: Queries, *, out: Tensor | None = None) -> Tensor:
        """Scores `(B, I)` float32 of all items; with `out (B, I)` they are written there."""
        Z = self._fitted(self.Z)
        self.check_served(queries)
        with torch.no_grad():
            scores = self.pool(queries, Z, out)
        check_finite(scores, type(self).__name__)
        return scores

    @final
    def check_served(self, queries: Queries) -> None:
        """Refuse what the model cannot serve, or would ignore.

        Raises:
            UnsupportedError: visitors, where it serves only users that it was trained on; weights or pictures, where
                it can make nothing of them, unless it ranks alike whatever anybody took.
        """
        name = type(self).__name__
        if queries.user is None and not self.new_users:
            raise UnsupportedError(
                f"{name} knows only the users it was trained on; it cannot serve a history alone. "
                f"Models that can: see `visrec models`."
            )
        if queries.weight is not None and self.personal and not self.weighs:
            raise UnsupportedError(
                f"{name} cannot weigh the items of a history; leave the weights out, or choose another model."
            )
        if queries.pictures is not None and self.personal and not self.new_pictures:
            raise UnsupportedError(
                f"{name} knows items by who took them; it cannot look at an uploaded picture. Choose another model, "
                f"such as visrank."
            )

    # ---- asking ------------------------------------------------------------------------------------

    @final
    def score(self, users: Sequence[str | int], items: Sequence[str | int] | None = None) -> np.ndarray:
        """Scores of users for items, by id.

        Args:
            users: B user ids.
            items: n item ids; None means all, in the order of `self.items`.

        Returns:
            `(B, n)` float32.
        """
        columns = None if items is None else self.items.indices(items)
        rows = self.users.indices(users)
        found = np.empty((len(rows), len(self.items) if columns is None else len(columns)), dtype=np.float32)
        done = 0
        for block, _, scores in self.score_blocks(rows):
            into = found[done : done + len(block)]
            into[:] = scores.numpy() if columns is None else scores.numpy()[:, columns]
            done += len(block)
        return found

    @final
    def recommend(
        self, users: Sequence[str | int], k: int = 20, *, exclude_seen: bool = True
    ) -> pl.DataFrame:
        """The k best items of each user: a table user_id, item_id, score, rank (1 is best).

        Args:
            users: user ids.
            k: list length; users with fewer candidates get shorter lists.
            exclude_seen: leave out what the user took in the training data.
        """
        _check_k(k)
        rows = self.users.indices(users)
        kept = min(k, len(self.items))
        found, values = (
            np.empty((len(rows), kept), dtype=np.int64),
            np.empty((len(rows), kept), dtype=np.float32),
        )
        done = 0
        for block, queries, scores in self.score_blocks(rows):
            if exclude_seen:
                _close(scores, queries)
            part = slice(done, done + len(block))
            found[part], values[part] = top_k(scores, k, block)
            done += len(block)
        return self._table(self.users.take(rows), found, values)

    @final
    def recommend_for_history(
        self,
        history: Sequence[str | int],
        k: int = 20,
        *,
        weights: Sequence[float] | None = None,
        exclude_seen: bool = True,
    ) -> pl.DataFrame:
        """The k best items for a visitor who has taken some items: a table item_id, score, rank.

        Args:
            history: item ids, oldest first.
            k: list length.
            weights: how much each is liked; below 0 "less of this". None: all count the same.
            exclude_seen: leave out the items of the history.

        Raises:
            UnsupportedError: the model serves only users that it was trained on, or cannot weigh a history.
            ConfigError: the history is empty, or there are not as many weights.
        """
        _check_k(k)
        if len(history) == 0:
            raise ConfigError("The history is empty; give at least one item id.")
        given = None if weights is None else [np.asarray(weights)]
        queries = Queries.of([self.items.indices(history)], weights=given)
        scores = self.score_queries(queries)
        if self.personal and bool(scores.min() == scores.max()):
            raise UnsupportedError(
                f"{type(self).__name__} knows nothing of the items in this history (no image, or no interaction); "
                f"any order would be chance. Give other items, or choose another model."
            )
        if exclude_seen:
            _close(scores, queries)
        found, values = top_k(scores, k, np.array([-1]))
        return self._table(pl.Series([""]), found, values).drop("user_id")

    @final
    def similar_items(self, items: Sequence[str | int], k: int = 10) -> pl.DataFrame:
        """The k items most like each given one, itself left out: a table query_id, item_id, score, rank.

        The score is the cosine of what the model holds of two items, in [-1, 1].

        Raises:
            UnsupportedError: the model has no notion of items alike, or knows nothing of that item.
        """
        _check_k(k)
        rows = self.items.indices(items)
        vectors = self.similarity_vectors()
        if vectors is None:
            raise UnsupportedError(f"{type(self).__name__} does not compare items; choose another model.")
        with torch.no_grad():
            asked = vectors.index_select(0, torch.from_numpy(rows))
            asked = asked.to_dense() if asked.is_sparse else asked
            blank = asked.abs().sum(1) == 0
            if blank.any():
                item = self.items.take(rows[blank.numpy()])[0]
                raise UnsupportedError(
                    f"{type(self).__name__} knows nothing of item '{item}' to compare it by "
                    f"(no image, or no interaction)."
                )
            asked = torch.nn.functional.normalize(asked, dim=1)
            if vectors.is_sparse:  # unit rows already
                scores = torch.sparse.mm(vectors, asked.T).T
            else:
                scores = asked @ vectors.T / vectors.norm(dim=1).clamp_min(1e-12)
            scores[torch.arange(len(rows)), torch.from_numpy(rows)] = -torch.inf
        found, values = top_k(scores, k, rows)
        return self._table(self.items.take(rows), found, values).rename({"user_id": "query_id"})

    def _table(self, owners: pl.Series, found: np.ndarray, values: np.ndarray) -> pl.DataFrame:
        real = found >= 0
        row, place = np.nonzero(real)
        return pl.DataFrame(
            {
                "user_id": owners.gather(row),
                "item_id": self.items.take(found[real]),
                "score": values[real],
                "rank": place + 1,
            }
        )

    # ---- keeping -----------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that was learnt."""
        self._fitted(self.Z)
        return state_digest(self.state())

    @final
    def save(self, path: str | Path, *, extra: Mapping[str, Any] | None = None) -> None:
        """Write the model to a folder: model.safetensors, config.json, ids.parquet, training.jsonl.

        Args:
            path: the folder; an older model there is replaced, as a whole.
            extra: further JSON-able facts to keep in config.json under "extra".
        """
        from safetensors.torch import save_file

        digest = self.digest
        tensors = {f"state/{name}": tensor.contiguous() for name, tensor in self.state().items()}
        tensors["history/indptr"] = torch.from_numpy(self.histories.indptr)
        tensors["history/items"] = torch.from_numpy(self.histories.items)
        about = {
            "format": FORMAT,
            "model": f"{type(self).__module__}:{type(self).__qualname__}",
            "config": self.config.model_dump(mode="json"),
            "digest": digest,
            "features": self.features_digest,
            "extra": dict(extra or {}),
        }
        ids = pl.concat(
            [
                pl.DataFrame({"kind": kind, "id": ids.written, "integer": ids.values.dtype.is_integer()})
                for kind, ids in (("user", self.users), ("item", self.items))
            ]
        )
        with replacing_folder(path) as folder:
            with replacing(folder / "model.safetensors") as temporary:
                save_file(tensors, temporary)
            ids.write_parquet(folder / "ids.parquet")
            lines = "".join(json.dumps(line) + "\n" for line in self.training_log)
            (folder / "training.jsonl").write_text(lines, encoding="utf-8")
            files = {name: file_digest(folder / name) for name in _DIGESTED}
            write_json(folder / "config.json", {**about, "files": files})

    def _load(self, folder: Path, about: Mapping[str, Any], content: Features | Content | None) -> None:
        from safetensors.torch import load_file

        for name in _DIGESTED:
            if file_digest(folder / name) != about["files"][name]:
                raise RunError(f"{folder}: {name} is not the one that config.json describes. Train it again.")
        ids = pl.read_parquet(folder / "ids.parquet")
        maps = {}
        for kind in ("user", "item"):
            part = ids.filter(pl.col("kind") == kind)
            values = part["id"].cast(pl.Int64) if part["integer"].any() else part["id"]
            maps[kind] = IdMap(values, kind=kind)
        self._users, self._items = maps["user"], maps["item"]
        # Copies, since the file is mapped as it lies: a matrix product of tensors that are aligned otherwise than
        # those of the fitted model may differ in the last bit.
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
        self._histories = Histories(tensors["history/indptr"].numpy(), tensors["history/items"].numpy())
        state = {name.removeprefix("state/"): t for name, t in tensors.items() if name.startswith("state/")}
        self.features_digest = about["features"]
        if content is not None and self.needs != "none":
            given = Content.of(content).wanted(self.needs, type(self).__name__)
            assert given is not None
            self.features = given.align(self.items)
            if self.features.digest != self.features_digest:
                raise FeaturesError(f"{folder}: was fitted with other features than these. Fit it again.")
        self.restore(state)
        log = folder / "training.jsonl"
        self.training_log = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def load_model(path: str | Path, content: Features | Content | None = None) -> Recommender:
    """Read a model that `save` wrote.

    Args:
        path: its folder.
        content: the features that it was fitted with. Ranking does not need them; `encode_items` does.

    Raises:
        RunError: there is no such folder, or it holds something else or a damaged model.
        FeaturesError: the content is not what it was fitted with.
    """
    from safetensors import SafetensorError

    folder = Path(path)
    try:
        about = read_json(folder / "config.json")
        if about["format"] != FORMAT:
            raise RunError(
                f"{folder}: written in format {about['format']}; this visrec reads format {FORMAT}."
            )
        model: Recommender = _model_class(about["model"], folder)(**about["config"])
        model._load(folder, about, content)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{folder}: is not a model folder (no {Path(error.filename).name}).") from None
    except (
        *(KeyError, TypeError, ValueError, RuntimeError),
        *(ConfigError, SafetensorError, pl.exceptions.PolarsError),
    ) as error:
        raise RunError(f"{folder}: is not a model that visrec can read ({error}). Train it again.") from None
    return model


def _model_class(target: str, folder: Path) -> type[Recommender]:
    """Only registered models are imported: a stranger's file cannot name code to run."""
    for name in registry.names("models"):
        found: type[Recommender] = registry.resolve("models", name)
        if f"{found.__module__}:{found.__qualname__}" == target:
            return found
    raise RunError(f"{folder}: holds a model of the class {target}, which is not registered here.")


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of named tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().contiguous().numpy()
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _close(scores: Tensor, queries: Queries) -> None:
    """Make the items of each history no candidates, in its scores `(B, I)`."""
    row, place = np.nonzero(queries.mask.numpy())
    scores.numpy()[row, queries.history.numpy()[row, place]] = -np.inf


def _check_weights(weights: Sequence[np.ndarray], of: Sequence[np.ndarray], what: str) -> None:
    for its, given in zip(weights, of, strict=True):
        if len(its) != len(given):
            raise ConfigError(f"There are {len(its)} weights for {len(given)} {what}; give one each.")
        if not np.isfinite(its).all():
            raise ConfigError(f"A weight is not a finite number; expected one for each of the {what}.")


def _check_k(k: int) -> None:
    if not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(f"k is {k!r}; expected a whole number, at least 1.")
