"""The loop: epochs of triples, early stopping on a validation ranking metric, a checkpoint after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from visrec.config import Config, digest_of
from visrec.errors import ConfigError, DivergedError
from visrec.progress import Progress
from visrec.training.checkpoint import load_checkpoint, save_checkpoint
from visrec.training.device import DeviceName, beside, exact_products, seeded
from visrec.training.factors import Factors
from visrec.training.guidelines import GuidelinesConfig
from visrec.training.losses import LossName, loss_of
from visrec.training.optimizer import Optimizer, RowGradients, Taken
from visrec.training.pairs import Buffers, Pairs, Touched
from visrec.training.sampling import Negatives, Sampler, Triples

if TYPE_CHECKING:
    from visrec.training.pairwise import PairwiseRecommender


class TrainingConfig(Config):
    """Settings that all models trained on triples share."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the initial weights and of all sampling; the same seed gives the same model on one CPU, bit for bit."""
    device: DeviceName = "cpu"
    """Where it learns: "cpu"; "cuda", the current GPU; or "auto", the GPU if torch sees one and the model is made for
    it. Not tried on a real GPU yet, so it has to be asked for. Ranking is the CPU's. A GPU sums in another order, so
    its models differ from the CPU's in the last digits, and training carries that on. Pairs, histories and tables
    are summed in one order there too, and convolutions by algorithms that repeat themselves; the pooling in DVBPR's
    network and the attention of ACF are not promised to."""
    epochs: int = Field(default=50, ge=0)
    """At most this many passes over the training interactions."""
    batch_size: int = Field(default=1024, ge=1)
    """Triples a step."""
    optimizer: Literal["adam", "adamw", "adagrad", "sgd"] = "adam"
    """AdamW applies `weight_decay` apart from the gradient, the others through it."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Step size."""
    weight_decay: float = Field(default=0.0, ge=0)
    """The optimiser's own decay, on all parameters alike. The papers' L2 terms are the models' `reg` settings. Other
    than these it moves every row of every table at every step, so a step then costs what the whole catalogue does."""
    loss: LossName = "bpr"
    """"bpr", "bce", "hinge", "warp" (which wants several negatives), or "softmax"; see visrec.training.losses."""
    sampler: Literal["uniform", "popularity", "guidelines"] = "uniform"
    """How triples are drawn: negatives uniformly, or by popularity; or "guidelines", CuratorNet's six strategies,
    which need visual features whatever the model needs."""
    guidelines: GuidelinesConfig = GuidelinesConfig()
    """Settings of the sampler "guidelines"."""
    n_negatives: int = Field(default=1, ge=1)
    """Negatives of each positive."""
    negatives: Negatives = "interacted"
    """Where negatives come from: "interacted", the items that somebody took, so that brand-new ones are not taught
    to be disliked; or "catalog", all items."""
    valid_metric: Literal["auc", "ndcg@20", "recall@20"] = "ndcg@20"
    """What early stopping and the learning-rate plateau watch on the validation interactions."""
    patience: int = Field(default=10, ge=1)
    """Stop after this many epochs without a better validation metric; the best epoch's weights are kept."""
    plateau_factor: float = Field(default=0.6, gt=0, le=1)
    """The learning rate is multiplied by this on a plateau; 1 leaves it as it is."""
    plateau_patience: int = Field(default=3, ge=0)
    """Epochs without a better validation metric that are tolerated before the learning rate falls."""
    least_learning_rate: float = Field(default=0.0, ge=0)
    """Training ends when a plateau would take the learning rate below this; 0: never."""

    @model_validator(mode="after")
    def _no_setting_in_vain(self) -> Self:
        if self.sampler == "popularity" and self.negatives == "catalog":
            raise ValueError(
                "negatives = 'catalog' does nothing with sampler = 'popularity', which never draws what nobody took. "
                "Set negatives = 'interacted'"
            )
        if self.sampler != "guidelines" and self.guidelines != GuidelinesConfig():
            raise ValueError(
                f"guidelines has settings, but sampler is '{self.sampler}'. Set sampler = 'guidelines', or leave "
                "them out"
            )
        return self


class Trainer:
    """Trains one model. Everything that decides the result is in its state, so that a run can go on anywhere."""

    def __init__(
        self,
        model: PairwiseRecommender,
        sampler: Sampler,
        validate: Callable[[], float] | None,
        *,
        fingerprint: str,
    ) -> None:
        """Set up.

        Args:
            model: with its parameters initialised, where it is to learn.
            sampler: where triples come from.
            validate: gives the validation metric, larger is better; None: train all epochs, keep the last.
            fingerprint: of data, features and validation; a checkpoint of another training is not continued.
        """
        self.model, self.sampler, self.validate = model, sampler, validate
        self.config = model.config
        self.rng = np.random.default_rng(self.config.seed)
        self.optimizer = Optimizer(model, self.config, model.l2(), by_rows=model.by_rows)
        self._buffers = Buffers()
        by_rows_alone = not self.optimizer.whole and model.device.type == "cpu"
        own = vars(type(model)).get("factors")  # not inherited: what is derived may have another score
        self._factors: Factors | None = own if self.config.loss == "bpr" and by_rows_alone else None
        # A run may go on elsewhere than where it began.
        settings = self.config.model_dump(mode="json", exclude={"device"})
        self.fingerprint = digest_of([fingerprint, type(model).__name__, model.edition, settings])
        self.epoch = 0
        self.best = -math.inf
        self.best_epoch = 0
        self.waited = 0  # epochs since the learning rate last fell or the metric last rose
        self.best_state: dict[str, Tensor] = {}
        self.log: list[dict[str, Any]] = []

    def run(self, *, checkpoint: Path | None = None, progress: Progress | None = None) -> None:
        """Train to the end, from the checkpoint on if it is there; the model then holds the best weights."""
        if checkpoint is not None:
            self._resume(checkpoint)
        while self.epoch < self.config.epochs and not self._is_over():
            self._run_epoch()
            if checkpoint is not None:
                self._save(checkpoint)
            if progress is not None:
                progress(self.epoch, self.config.epochs, self._note())
        if progress is not None and self.log:
            progress(self.config.epochs, self.config.epochs, self._note())
        if self.best_state:
            self.model.load_state_dict(self.best_state)

    def step(self, batch: Triples) -> float:
        """One gradient step; returns the loss, without its L2 terms."""
        pairs, whole = Pairs.of(batch), self.optimizer.whole
        touched = Touched.of(batch, pairs)
        if self._factors is not None:
            mean, gradients = self._factors.bpr(self.optimizer.tables, pairs, batch.weight, self._buffers)
            self.optimizer.step(gradients, (), touched)
            return mean
        # Each distinct user and item is encoded once, however often it occurs in the batch.
        with self.model.taking(self.optimizer.tables.values()) as taken:
            Q, Z = self.model.encode_batch(pairs.queries, torch.from_numpy(pairs.items))  # (m, d), (n, d)
        if self.epoch == 0:
            self._check_taken(taken)
        x_ui, x_uj = (x.requires_grad_() for x in pairs.scores(Q, Z))  # (B,), (B, n)
        weight = None if (batch.weight == 1).all() else beside(batch.weight, x_ui)
        loss = loss_of(self.config.loss, x_ui, x_uj, weight, n_candidates=len(self.sampler.pool))
        of_vectors = pairs.gradients((Q, Z), torch.autograd.grad(loss, (x_ui, x_uj)), self._buffers)
        ends = [*(one.rows for one in taken), *whole.values()]
        # Vectors of one kind may be fixed, but not all.
        learnt = [(v, g) for v, g in zip((Q, Z), of_vectors, strict=True) if v.requires_grad]
        vectors, theirs = zip(*learnt, strict=True)
        found = torch.autograd.grad(vectors, ends, theirs, allow_unused=True)
        of_rows = [
            RowGradients(one.table, one.index, g)
            for one, g in zip(taken, found, strict=False)
            if g is not None
        ]
        self.optimizer.step(of_rows, found[len(taken) :], touched)
        return loss.item()

    def _check_taken(self, taken: list[Taken]) -> None:
        """Refuse a model that reads a table in a way that gives it no gradient: it would never learn."""
        for name, table in self.optimizer.tables.items():
            if table.numel() and not any(one.table is table for one in taken):
                raise ConfigError(
                    f"{type(self.model).__name__} names {name} in `l2`, but never looks it up by `take`: it would "
                    f"learn nothing. In its encoders, write self.take(self.{name}, index) for self.{name}[index]."
                )

    def _run_epoch(self) -> None:
        start = time.perf_counter()
        total, n = 0.0, 0
        self.model.train()
        # Dropout asks torch's global generator, which is nobody's to change: it gets a state of this epoch, and
        # its own back. A run that goes on after an interruption thus drops what it would have dropped.
        seed = int(np.random.SeedSequence([self.config.seed, self.epoch]).generate_state(1)[0])
        with seeded(seed, self.model.device), exact_products(self.model.device):
            for batch in self.sampler.epoch(self.config.batch_size, self.rng):
                loss = self.step(batch)
                if not math.isfinite(loss):
                    self._diverged(loss)
                total, n = total + loss * len(batch), n + len(batch)
        self.model.eval()
        if not all(_is_finite(parameter) for parameter in self.model.parameters()):
            self._diverged(math.nan)  # in the last step, whose loss was still finite
        self.epoch += 1
        trained = time.perf_counter() - start
        line = {"epoch": self.epoch, "loss": total / n, "learning_rate": self.learning_rate, "triples": n}
        if self.validate is not None:
            metric = self.validate()
            if not math.isfinite(metric):
                self._diverged(metric)
            line["valid"] = metric
            self._judge(metric)
        line |= {"seconds": trained, "valid_seconds": time.perf_counter() - start - trained}
        self.log.append(line)

    def _judge(self, metric: float) -> None:
        if metric > self.best:
            self.best, self.best_epoch, self.waited = metric, self.epoch, 0
            self.best_state = {
                name: t.detach().to("cpu", copy=True) for name, t in self.model.state_dict().items()
            }
            return
        self.waited += 1
        if self.waited > self.config.plateau_patience:
            self.waited = 0
            self.optimizer.learning_rate *= self.config.plateau_factor

    def _is_over(self) -> bool:
        """Whether patience is at its end, or the learning rate, which falls nowhere but on a plateau."""
        config = self.config
        no_gain = self.validate is not None and self.epoch - self.best_epoch >= config.patience
        return no_gain or self.learning_rate < min(config.least_learning_rate, config.learning_rate)

    def _diverged(self, value: float) -> None:
        raise DivergedError(
            f"Training of {type(self.model).__name__} diverged in epoch {self.epoch + 1} (value {value}) at learning "
            f"rate {self.learning_rate:g}. Try learning_rate={self.learning_rate / 10:g}, or standardised features."
        )

    def _note(self) -> str:
        last = self.log[-1]
        note = f"loss {last['loss']:.4f}"
        if "valid" in last:
            note += f"  {self.config.valid_metric} {last['valid']:.4f} (best {self.best:.4f})"
        return note

    @property
    def learning_rate(self) -> float:
        """The current one."""
        return self.optimizer.learning_rate

    def _save(self, path: Path) -> None:
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best/{name}": t for name, t in self.best_state.items()}
        tensors |= {f"optimizer/{name}": t for name, t in self.optimizer.state().items()}
        facts = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "best": None if math.isinf(self.best) else self.best,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "rng": self.rng.bit_generator.state,
            "log": self.log,
        }
        save_checkpoint(path, tensors, facts)

    def _resume(self, path: Path) -> None:
        found = load_checkpoint(path, self.fingerprint)
        if found is None:
            return
        tensors, facts = found
        self.model.load_state_dict(_named(tensors, "model/"))
        self.best_state = _named(tensors, "best/")
        self.optimizer.restore(_named(tensors, "optimizer/"))
        self.rng.bit_generator.state = facts["rng"]
        self.epoch, self.best_epoch, self.waited = facts["epoch"], facts["best_epoch"], facts["waited"]
        self.best = -math.inf if facts["best"] is None else facts["best"]
        self.log = facts["log"]


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are; their sum says so at once where they are, but for very large ones."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
