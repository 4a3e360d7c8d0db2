"""The base of all models that learn from triples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from visrec.config import digest_of
from visrec.content import Content, Kind
from visrec.data.interactions import Interactions
from visrec.data.splits import Split
from visrec.errors import ConfigError, UnsupportedError
from visrec.evaluation.protocol import mean_metric
from visrec.features.features import Features
from visrec.recommender import Fitting, Queries, Recommender
from visrec.training.device import beside, device_to_learn_on, seeded
from visrec.training.factors import Factors
from visrec.training.guidelines import GuidelinesSampler, content_digest
from visrec.training.optimizer import L2, Taken
from visrec.training.sampling import HistoryRule, PopularitySampler, Sampler, UniformSampler
from visrec.training.trainer import Trainer, TrainingConfig
from visrec.training.vectors import Precision, is_bfloat16


class PairwiseRecommender(nn.Module, Recommender):
    """A model with parameters, trained so that x_ui > x_uj for a positive i and a negative j.

    A model declares its parameters in `build`, its L2 terms in `l2`, and the two encoders.

    Attributes:
        learns_on_gpu: whether its encoders compute where its parameters lie. They get indices on the CPU; `take` and
            `beside` bring them over.
        content_shape: of an item's content: `(F,)`, `(R, F)` or `(S, S, 3)`; `()` where it needs none.
    """

    config: TrainingConfig
    learns = "pairs"
    query = "user"  # models that write encode_queries say what theirs is made of
    learns_on_gpu: ClassVar[bool] = False
    content_shape: tuple[int, ...] = ()
    edition = 2  # from when tables are updated by rows
    factors: ClassVar[Factors | None] = None
    """Of a model whose score is nothing but rows of tables: their names, for a faster step of the same. What is
    derived from it does not inherit them, as its score may be another."""
    by_rows: ClassVar[bool] = True
    """Whether tables are updated in the rows of a batch alone; see `visrec.training.optimizer`."""

    def __init__(self, config: TrainingConfig | None = None, **settings: Any) -> None:
        nn.Module.__init__(self)
        self._tables: tuple[nn.Parameter, ...] = ()
        self._taken: list[Taken] = []
        self._is_learning = False
        Recommender.__init__(self, config, **settings)

    @abstractmethod
    def build(self, n_users: int, n_items: int) -> None:
        """Create all parameters; `initialize` or `restore` sets their values."""

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """Set the initial values of all parameters."""

    @property
    def learns_from(self) -> tuple[Kind, ...]:
        own = super().learns_from
        by_looks = self.config.sampler == "guidelines" and self.needs not in ("vector", "regions")
        return (*own, "vector") if by_looks else own

    def content_digests(self, content: Content) -> dict[str, str | None]:
        found = super().content_digests(content)
        if self.config.sampler == "guidelines":
            looks = content.preferring(self.needs)
            found["sampler"] = content_digest(looks, self.config.guidelines, type(self).__name__)
        if self.weights_digest is not None:
            found["weights"] = self.weights_digest
        return found

    @property
    def weights_digest(self) -> str | None:
        """Digest of the file of weights that `initialize` reads; None where it reads none.

        The settings have its name alone: a model is trained again, and afresh, where its content changes.
        """
        return None

    @property
    def looks_at(self) -> HistoryRule:
        """What of the user's history the query is made of while it learns; "none": the user alone."""
        return "none"

    @property
    def max_history(self) -> int | None:
        """At most so many newest items of it; None: all."""
        return None

    @property
    def n_features(self) -> int:
        """F, the length of a vector of the content; 0 where it needs none."""
        return self.content_shape[-1] if self.content_shape else 0

    def encode_users(self, users: Tensor) -> Tensor:
        """Query vectors `(B, d)` of users by index `(B,)`: for models whose query is the user alone."""
        raise NotImplementedError(f"{type(self).__name__} writes neither encode_users nor encode_queries.")

    def encode_batch(self, queries: Queries, items: Tensor) -> tuple[Tensor, Tensor]:
        """Query vectors `(B, d)` and vectors `(n, d)` of distinct items, in training.

        Models whose queries are made of item vectors override it to encode each item once for both.
        """
        return self.encode_queries(queries), self.encode_items(items)

    @abstractmethod
    def l2(self) -> L2:
        """The L2 terms; they also name the tables, which the encoders look up by `take`."""

    def take(self, table: nn.Parameter, index: Tensor) -> Tensor:
        """Rows `(n, d)` of a table by index `(n,)`. While a batch is encoded, only these rows have a gradient."""
        if not any(table is one for one in self._tables):
            return table[index]
        rows = table.detach().index_select(0, beside(index, table)).requires_grad_()
        self._taken.append(Taken(table, index, rows))
        return rows

    @property
    def device(self) -> torch.device:
        """Where its parameters lie: on the CPU but while it learns on a GPU."""
        return next(self.parameters()).device

    @property
    def is_learning(self) -> bool:
        """Whether a batch is being encoded to learn from it."""
        return self._is_learning

    def rounding(self, precision: Precision) -> torch.dtype:
        """What the factors of products are rounded to now: what learns may be rounded, what ranks is not."""
        reduced = self.is_learning and is_bfloat16(precision, self.device.type)
        return torch.bfloat16 if reduced else torch.float32

    def remember(self) -> None:
        """Keep what the finished parameters give and ranking needs; called on the CPU, before `release`."""

    def release(self) -> None:
        """Let go of what was held to learn from; called when learning is over."""

    @contextmanager
    def taking(self, tables: Iterable[nn.Parameter]) -> Iterator[list[Taken]]:
        """While it lasts, the rows that are taken from these tables end up in the list, and gradients end at them."""
        self._tables, self._taken, self._is_learning = tuple(tables), [], True
        try:
            yield self._taken
        finally:
            self._tables, self._taken, self._is_learning = (), [], False

    @abstractmethod
    def forget(self, users: Tensor, items: Tensor) -> None:
        """Zero the embedding rows of users and items (bool masks) that training will never touch.

        Their random initial values would rank like garbage; zero leaves the terms that are known. Done before
        training, so that validation ranks as the finished model does.
        """

    def prepare_content(self, features: Features) -> None:
        """Turn features into what `encode_items` reads; models that need content override it.

        Called once the parameters have their values, when fitting and when loading.
        """

    def encode_queries(self, queries: Queries) -> Tensor:
        """Query vectors `(B, d)`; `score_queries` has refused visitors already."""
        if queries.user is None:
            raise UnsupportedError(f"{type(self).__name__} has no vector for a visitor.")
        return self.encode_users(queries.user)

    def _fit(self, fitting: Fitting) -> None:
        train, valid = fitting.train, fitting.valid
        device = device_to_learn_on(self.config.device, can=self.learns_on_gpu, name=type(self).__name__)
        self.content_shape = () if self.features is None else self.features.values.shape[1:]
        sampler = self._sampler(fitting)
        self.notes = sampler.notes
        # Networks of other libraries take their initial weights from torch's global generator, which gets its state
        # back.
        with seeded(self.config.seed):
            self.build(train.n_users, train.n_items)
            self.initialize(torch.Generator().manual_seed(self.config.seed))
        if self.features is not None:
            self.prepare_content(self.features)
        self._forget_untouched(sampler)
        fingerprint = [
            train.digest,
            None if valid is None else valid.digest,
            self.features_digest,
            sampler.fingerprint,
        ]
        if self.weights_digest is not None:
            fingerprint.append(self.weights_digest)
        try:
            self.to(device)
            trainer = Trainer(
                self, sampler, self._validation(train, valid), fingerprint=digest_of(fingerprint)
            )
            trainer.run(checkpoint=fitting.checkpoint, progress=fitting.progress)
            self.to("cpu")
            self.remember()
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{type(self).__name__} does not fit into the memory of the GPU ({str(error).splitlines()[0]}). Set "
                f"device='cpu', or a smaller batch_size than {self.config.batch_size}."
            ) from error
        finally:
            self.release()
            self.to("cpu")
        self.training_log = trainer.log
        self.eval()

    def _sampler(self, fitting: Fitting) -> Sampler:
        config, train = self.config, fitting.train
        given: dict[str, Any] = {
            "n_negatives": config.n_negatives,
            "history": self.looks_at,
            "max_history": self.max_history,
        }
        if config.sampler == "guidelines":
            return GuidelinesSampler.of(
                train,
                fitting.content.preferring(self.needs),
                config.guidelines,
                made_up=self.new_users,
                negatives=config.negatives,
                seed=config.seed,
                name=type(self).__name__,
                **given,
            )
        if config.sampler == "popularity":
            return PopularitySampler(train, **given)
        return UniformSampler(train, negatives=config.negatives, **given)

    def _forget_untouched(self, sampler: Sampler) -> None:
        users, items = np.ones(len(self.users), dtype=bool), np.ones(len(self.items), dtype=bool)
        users[sampler.user] = False
        items[sampler.pool] = False
        with torch.no_grad():
            self.forget(torch.from_numpy(users), torch.from_numpy(items))

    def _validation(self, train: Interactions, valid: Interactions | None) -> Callable[[], float] | None:
        if valid is None or len(valid) == 0:
            return None
        split = Split(train, valid, valid)

        def validate() -> float:
            device = self.device
            self.refresh()
            self.to("cpu")  # where all models rank
            try:
                return mean_metric(self, split, self.config.valid_metric, part="valid")
            finally:
                self.to(device)

        return validate

    def state(self) -> dict[str, Tensor]:
        """Parameters, and where content went into them the item vectors, so that ranking needs no features."""
        state = {name: t.detach() for name, t in self.state_dict().items()}
        if self.needs != "none" and self.Z is not None:
            state["Z"] = self.Z
        state["content_shape"] = torch.tensor(self.content_shape, dtype=torch.int64)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.content_shape = tuple(state["content_shape"].tolist())
        with torch.random.fork_rng():
            self.build(len(self.users), len(self.items))
        self.load_state_dict({name: t for name, t in state.items() if name not in ("Z", "content_shape")})
        if self.features is not None:
            self.prepare_content(self.features)
        self.eval()
        if self.needs == "none":
            self.refresh()
        else:
            self.Z = state["Z"]
