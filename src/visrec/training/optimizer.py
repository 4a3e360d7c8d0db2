"""The optimiser: tables of users and items by the rows of a batch, all other parameters whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from visrec.compiled import compiled, in_parallel
from visrec.training.device import add_rows, beside
from visrec.training.pairs import Touched, distinct

if TYPE_CHECKING:
    from visrec.training.trainer import TrainingConfig

_BETAS, _EPS = (0.9, 0.999), 1e-8  # as torch has them
_STATES = {
    "sgd": (),
    "adagrad": ("sum",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
_LEAST = 64  # rows a thread should have: each is a vector


@dataclass(frozen=True)
class L2:
    """The L2 terms of a model, lambda / 2 |.|² each, by the name of the parameter; they also say which are tables.

    Attributes:
        users: of tables with a row a user: the mean over triples of the norm of their user's row.
        items: of tables with a row an item: the mean over triples of the norm of the positive's row and of the
            negative's (of several, their mean).
        history: of tables with a row an item: the mean over triples of the mean over the items that are looked at.
        shared: of parameters that belong to no user and no item: the norm of all of it, once.
    """

    users: Mapping[str, float] = field(default_factory=dict)
    items: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, float] = field(default_factory=dict)
    shared: Mapping[str, float] = field(default_factory=dict)

    @property
    def tables(self) -> set[str]:
        """The names of all that have a row a user or an item."""
        return {*self.users, *self.items, *self.history}

    def terms(self, touched: Touched) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """By table, what its rows `(n,)` by index are pulled to 0 with `(n,)`: the gradient is that times the row."""
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for weights, (index, times) in (
            (self.users, touched.users),
            (self.items, touched.items),
            (self.history, touched.history),
        ):
            for name, weight in weights.items():
                if weight > 0:
                    found.setdefault(name, []).append((index, np.float32(weight) * times))
        return found


@dataclass(frozen=True, eq=False)
class Taken:
    """Rows `(n, d)` that were looked up in a table by index `(n,)`: where gradients end."""

    table: nn.Parameter
    index: Tensor
    rows: Tensor


@dataclass(frozen=True, eq=False)
class RowGradients:
    """Gradients `g (n, d)` of the rows `index (n,)` of a table; a row may come twice, and they add up."""

    table: nn.Parameter
    index: Tensor
    g: Tensor


class Optimizer:
    """SGD, Adagrad, Adam or AdamW over a model's parameters, all as rows.

    Tables have gradients in the rows of a batch alone, and only those are touched, their moments too: a step costs
    what the batch does, however large the catalogue. As torch's `SparseAdam`, this is Adam whose moments do not
    decay between two visits to a row. With `weight_decay`, which moves every row at every step, tables are updated
    whole, as all other parameters are. Of what is updated whole, a step is that of torch's optimisers.

    Attributes:
        tables: parameters that are updated by the rows of a batch, by name.
        whole: the other ones.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, l2: L2, *, by_rows: bool = True) -> None:
        """Set up, with every state at its start.

        Args:
            model: whose parameters it moves.
            config: which optimiser, its learning rate and decay.
            l2: the L2 terms, which say what is a table.
            by_rows: whether tables are updated in the rows of a batch alone; with `weight_decay` they never are.
        """
        self.l2, self._kind, self.learning_rate, self._steps = l2, config.optimizer, config.learning_rate, 0
        self._decay = config.weight_decay
        by_row = l2.tables if self._decay == 0 and by_rows else set()
        self._learnt = {name: one for name, one in model.named_parameters() if one.requires_grad}
        self.tables = {name: one for name, one in self._learnt.items() if name in by_row}
        self.whole = {name: one for name, one in self._learnt.items() if name not in by_row}
        self._states = {
            name: [torch.zeros_like(one, requires_grad=False) for _ in _STATES[self._kind]]
            for name, one in self._learnt.items()
        }

    @torch.no_grad()
    def step(self, of_rows: Sequence[RowGradients], whole: Sequence[Tensor | None], touched: Touched) -> None:
        """Move all parameters once.

        Args:
            of_rows: gradients of the rows of tables that were looked up.
            whole: gradients of the other parameters, in the order of `whole`; None, where it played no part,
                counts as 0.
            touched: the users and items of the batch, for the L2 terms.
        """
        self._steps += 1
        terms = self.l2.terms(touched)
        for (name, parameter), gradient in zip(self.whole.items(), whole, strict=True):
            g = _as_rows(torch.zeros_like(parameter) if gradient is None else gradient)
            decay = self.l2.shared.get(name, 0.0) + (0 if self._kind == "adamw" else self._decay)
            pull = np.full(len(g), decay, dtype=np.float32)
            for index, times in terms.get(name, ()):
                pull[index] += times
            self._move(name, np.arange(len(g)), g, pull)
        for name, table in self.tables.items():
            parts = [(one.index.numpy(), one.g) for one in of_rows if one.table is table]
            self._move(name, *_merged(parts, terms.get(name, []), table.detach()))

    def _move(self, name: str, index: np.ndarray, g: Tensor, pull: np.ndarray) -> None:
        """One step of the rows `index (n,)` of a parameter along `g (n, d)`, with L2 `pull (n,)`."""
        if len(index) == 0 or g.shape[1] == 0:
            return
        tables = [_rows_of(one) for one in (self._learnt[name].detach(), *self._states[name])]
        if not tables[0].is_cpu:
            move_by_torch(self._kind, index, g, pull, tables, self._rates)
            return
        g = g if g.stride(1) == 1 else g.contiguous()
        # A slice of columns lies in memory as it does in the whole; as one line, its rows can be read as vectors.
        line = g.as_strided(((len(g) - 1) * g.stride(0) + g.shape[1],), (1,)).numpy()
        given = (index, line, g.stride(0), pull, *(one.numpy() for one in tables))
        in_parallel(_LOOPS[self._kind], len(index), *given, *map(np.float32, self._rates), least=_LEAST)

    @property
    def _rates(self) -> tuple[float, ...]:
        """The learning rate; of Adam corrected, with the correction of the root, and what a row keeps of itself."""
        if self._kind not in ("adam", "adamw"):
            return (self.learning_rate,)
        first, second = (1 - beta**self._steps for beta in _BETAS)
        kept = 1 - (self.learning_rate * self._decay if self._kind == "adamw" else 0)
        return self.learning_rate / first, second**-0.5, kept

    # ---- what a checkpoint keeps -------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """All that it remembers, by name."""
        rate = torch.tensor(self.learning_rate, dtype=torch.float64)
        found = {"steps": torch.tensor(self._steps), "learning_rate": rate}
        for name, tensors in self._states.items():
            found |= {f"{name}/{of}": one for of, one in zip(_STATES[self._kind], tensors, strict=True)}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave, in an optimiser of the same model and settings."""
        self._steps, self.learning_rate = int(state["steps"]), float(state["learning_rate"])
        for name, tensors in self._states.items():
            for of, one in zip(_STATES[self._kind], tensors, strict=True):
                one.copy_(state[f"{name}/{of}"])


def _rows_of(parameter: Tensor) -> Tensor:
    """A parameter, or a moment of it, as rows `(n, d)` over the same memory."""
    return parameter.view(parameter.shape[0], -1) if parameter.ndim > 1 else parameter.view(1, -1)


def _as_rows(tensor: Tensor) -> Tensor:
    """A gradient as rows `(n, d)`, a copy where it lies otherwise."""
    return tensor.reshape(tensor.shape[0], -1) if tensor.ndim > 1 else tensor.reshape(1, -1)


def _merged(
    parts: list[tuple[np.ndarray, Tensor]], terms: list[tuple[np.ndarray, np.ndarray]], table: Tensor
) -> tuple[np.ndarray, Tensor, np.ndarray]:
    """Gradients and L2 terms of some rows of a table each, as distinct rows `(n,)` with one of each."""
    if len(parts) == 1 and len(terms) <= 1 and (np.diff(parts[0][0]) > 0).all():
        (index, g), nothing = parts[0], np.zeros(len(parts[0][0]), dtype=np.float32)
        if not terms:
            return index, g, nothing
        if np.array_equal(terms[0][0], index):
            return index, g, terms[0][1]
    every = [index for index, _ in (*parts, *terms)]
    if not every:
        return np.zeros(0, dtype=np.int64), table[:0], np.zeros(0, dtype=np.float32)
    rows, at = distinct(np.concatenate(every))
    places = np.split(at, np.cumsum([len(index) for index in every])[:-1])
    g, pull = table.new_zeros(len(rows), table.shape[1]), np.zeros(len(rows), dtype=np.float32)
    for place, (_, of) in zip(places, parts, strict=False):
        add_rows(g, place, of)
    for place, (_, times) in zip(places[len(parts) :], terms, strict=True):
        pull += np.bincount(place, times, minlength=len(rows)).astype(np.float32)
    return rows, g, pull


# ---- one step of some rows, for tables on a GPU ----------------------------------------------------------


def move_by_torch(
    kind: str,
    index: np.ndarray,
    g: Tensor,
    pull: np.ndarray,
    tables: Sequence[Tensor],
    rates: Sequence[float],
) -> None:
    """Move distinct rows `index (n,)` of a table along `g (n, d)`, with L2 `pull (n,)`, in torch's operations.

    Args:
        kind: of the optimiser.
        index: distinct rows.
        g: their gradients.
        pull: what they are pulled to 0 with.
        tables: the table and its moments, which change.
        rates: those of `Optimizer`.
    """
    rows = beside(index, g)
    p, *state = (one.index_select(0, rows) for one in tables)  # (n, d) each
    x = g + beside(pull, g)[:, None] * p
    if kind == "sgd":
        p = p - rates[0] * x
    elif kind == "adagrad":
        state = [state[0] + x * x]
        p = p - rates[0] * x / (state[0].sqrt() + 1e-10)
    else:
        state = [b * old + (1 - b) * new for b, old, new in zip(_BETAS, state, (x, x * x), strict=True)]
        p = rates[2] * p - rates[0] * state[0] / (state[1].sqrt() * rates[1] + _EPS)
    for one, new in zip(tables, (p, *state), strict=True):
        one.index_copy_(0, rows, new)


# ---- the same compiled, for the CPU: G holds row i's gradient from i * stride on ------------------------


@compiled
def _sgd(start, stop, index, G, stride, pull, P, rate):  # type: ignore[no-untyped-def]
    d = P.shape[1]
    for i in range(start, stop):
        p, w, g = P[index[i]], pull[i], G[i * stride : i * stride + d]
        for k in range(d):
            p[k] -= rate * (g[k] + w * p[k])


@compiled
def _adagrad(start, stop, index, G, stride, pull, P, S, rate):  # type: ignore[no-untyped-def]
    d, eps = P.shape[1], np.float32(1e-10)
    for i in range(start, stop):
        p, s, w, g = P[index[i]], S[index[i]], pull[i], G[i * stride : i * stride + d]
        for k in range(d):
            x = g[k] + w * p[k]
            s[k] += x * x
            p[k] -= rate * x / (np.float32(np.sqrt(s[k])) + eps)


@compiled
def _adam(start, stop, index, G, stride, pull, P, M, V, rate, correction, kept):  # type: ignore[no-untyped-def]
    d, eps = P.shape[1], np.float32(_EPS)
    b1, b2 = np.float32(_BETAS[0]), np.float32(_BETAS[1])
    c1, c2 = np.float32(1 - _BETAS[0]), np.float32(1 - _BETAS[1])
    for i in range(start, stop):
        p, m, v, w = P[index[i]], M[index[i]], V[index[i]], pull[i]
        g = G[i * stride : i * stride + d]
        for k in range(d):
            x = g[k] + w * p[k]
            m[k] = b1 * m[k] + c1 * x
            v[k] = b2 * v[k] + c2 * x * x
            p[k] = kept * p[k] - rate * m[k] / (np.float32(np.sqrt(v[k])) * correction + eps)


_LOOPS = {"sgd": _sgd, "adagrad": _adagrad, "adam": _adam, "adamw": _adam}
