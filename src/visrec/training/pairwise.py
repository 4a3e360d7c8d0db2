"""The base of all models that learn from triples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visrec.data.interactions import Interactions
from visrec.data.splits import Split
from visrec.errors import UnsupportedError
from visrec.evaluation.protocol import mean_metric
from visrec.features.features import Features
from visrec.recommender import Fitting, Queries, Recommender
from visrec.training.sampling import UniformSampler
from visrec.training.trainer import Rows, Trainer, TrainingConfig


class PairwiseRecommender(nn.Module, Recommender):
    """A model with parameters, trained so that x_ui > x_uj for a positive i and a negative j.

    A model declares its parameters in `build`, its L2 terms in `penalty`, and the two encoders.
    """

    config: TrainingConfig
    n_features = 0

    def __init__(self, config: TrainingConfig | None = None, **settings: Any) -> None:
        nn.Module.__init__(self)
        Recommender.__init__(self, config, **settings)

    @abstractmethod
    def build(self, n_users: int, n_items: int) -> None:
        """Create all parameters; `initialize` or `restore` sets their values."""

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """Set the initial values of all parameters."""

    @abstractmethod
    def encode_users(self, users: Tensor) -> Tensor:
        """Query vectors `(B, d)` of users by index `(B,)`."""

    @abstractmethod
    def penalty(self, rows: Rows) -> Tensor | None:
        """The L2 terms of a batch, as a mean over its triples; None where all are 0."""

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
        if self.features is not None:
            self.n_features = self.features.dim
        self.build(train.n_users, train.n_items)
        self.initialize(torch.Generator().manual_seed(self.config.seed))
        if self.features is not None:
            self.prepare_content(self.features)
        sampler = UniformSampler(train, negatives=self.config.negatives)
        self._forget_untouched(sampler)
        trainer = Trainer(
            self, sampler, self._validation(train, valid), fingerprint=self._fingerprint(train, valid)
        )
        trainer.run(checkpoint=fitting.checkpoint, progress=fitting.progress)
        self.training_log = trainer.log
        self.eval()

    def _forget_untouched(self, sampler: UniformSampler) -> None:
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
            self.refresh()
            return mean_metric(self, split, self.config.valid_metric, part="valid")

        return validate

    def _fingerprint(self, train: Interactions, valid: Interactions | None) -> str:
        features = "" if self.features is None else self.features.digest
        return f"{train.digest}/{'' if valid is None else valid.digest}/{features}"

    def state(self) -> dict[str, Tensor]:
        """Parameters, and where content went into them the item vectors, so that ranking needs no features."""
        state = {name: t.detach() for name, t in self.state_dict().items()}
        if self.needs != "none" and self.Z is not None:
            state["Z"] = self.Z
        state["n_features"] = torch.tensor(self.n_features)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.n_features = int(state["n_features"])
        self.build(len(self.users), len(self.items))
        self.load_state_dict({name: t for name, t in state.items() if name not in ("Z", "n_features")})
        if self.features is not None:
            self.prepare_content(self.features)
        self.eval()
        if self.needs == "none":
            self.refresh()
        else:
            self.Z = state["Z"]
