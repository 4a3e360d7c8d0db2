"""The tutorial's way, written out as plain loops over torch layers: what a triple names, it encodes for each triple.

Its errors are left out, so that results can be compared: all that a user took is masked, nDCG divides by the right
ideal, AUC counts candidates.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, selu
from torch.utils.data import DataLoader, Dataset

Scores = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""From users, positives, negatives `(B,)` and histories `(B, H)` to x_ui - x_uj `(B,)`."""


class Way:
    """A model as the tutorial trains it: Adam on BCE-with-logits of x_ui - x_uj, summed over the batch."""

    def __init__(self, net: nn.Module, score: Scores, learning_rate: float, weight_decay: float) -> None:
        self.net, self.score = net, score
        learnt = [p for p in net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(learnt, lr=learning_rate, weight_decay=weight_decay)

    def step(self, user: Tensor, pos: Tensor, neg: Tensor, history: Tensor) -> None:
        """One step on a batch of triples."""
        x_uij = self.score(user, pos, neg, history)
        loss = binary_cross_entropy_with_logits(x_uij, torch.ones_like(x_uij), reduction="sum")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def vbpr(n_users: int, values: np.ndarray) -> Way:
    """VBPR with gamma 200 and theta 100; all features `(I, F)` in memory.

    As in the tutorial, what is projected is the difference of the two items' features, once for each triple.
    """
    n_items, F = values.shape
    net = nn.Module()
    net.features = nn.Embedding.from_pretrained(torch.from_numpy(values.astype(np.float32)), freeze=True)
    net.gamma_u, net.gamma_i = nn.Embedding(n_users, 200), nn.Embedding(n_items, 200)
    net.theta_u, net.E = nn.Embedding(n_users, 100), nn.Linear(F, 100, bias=False)
    net.beta_i, net.beta_v = nn.Embedding(n_items, 1), nn.Linear(F, 1, bias=False)
    for name, parameter in net.named_parameters():
        if not name.startswith("features"):
            nn.init.xavier_uniform_(parameter)

    def score(user: Tensor, pos: Tensor, neg: Tensor, _: Tensor) -> Tensor:
        f = net.features(pos) - net.features(neg)
        latent = (net.gamma_u(user) * (net.gamma_i(pos) - net.gamma_i(neg))).sum(1)
        visual = (net.theta_u(user) * net.E(f)).sum(1)
        return latent + visual + (net.beta_i(pos) - net.beta_i(neg) + net.beta_v(f))[:, 0]

    return Way(net, score, 1e-3, 1e-4)


def vbpr_vectors(way: Way) -> tuple[np.ndarray, np.ndarray]:
    """The same scores as a dot product: vectors of all users and items."""
    net = way.net
    with torch.no_grad():
        f, one = net.features.weight, torch.ones(len(net.gamma_u.weight), 1)
        Q = torch.cat([net.gamma_u.weight, net.theta_u.weight, one], dim=1)
        Z = torch.cat([net.gamma_i.weight, net.E(f), net.beta_i.weight + net.beta_v(f)], dim=1)
    return Q.numpy(), Z.numpy()


def curatornet(n_users: int, values: np.ndarray) -> Way:  # noqa: ARG001
    """CuratorNet: a tower of two layers for items, three more for what the history is pooled to."""
    net = nn.Module()
    net.features = nn.Embedding.from_pretrained(torch.from_numpy(values.astype(np.float32)), freeze=True)
    net.one, net.two = nn.Linear(values.shape[1], 200), nn.Linear(200, 200)
    net.a, net.b, net.c = nn.Linear(400, 300), nn.Linear(300, 300), nn.Linear(300, 200)

    def tower(item: Tensor) -> Tensor:
        return selu(net.two(selu(net.one(net.features(item)))))

    def score(_: Tensor, pos: Tensor, neg: Tensor, history: Tensor) -> Tensor:
        profile = tower(history)  # (B, H, 200)
        pooled = torch.cat([profile.amax(1), profile.mean(1)], dim=1)
        query = selu(net.c(selu(net.b(selu(net.a(pooled))))))
        return (query * tower(pos)).sum(1) - (query * tower(neg)).sum(1)

    return Way(net, score, 1e-4, 1e-4)


def acf(n_users: int, values: np.ndarray) -> Way:
    """ACF with vectors of 128 and all regions `(I, R, F)` in memory."""
    d, (n_items, _, F) = 128, values.shape
    net = nn.Module()
    flat = torch.from_numpy(values.astype(np.float32)).reshape(n_items, -1)
    net.features = nn.Embedding.from_pretrained(flat, freeze=True)
    net.reduce = nn.Linear(F, d)
    net.user, net.item, net.profile = (
        nn.Embedding(n_users, d),
        nn.Embedding(n_items, d),
        nn.Embedding(n_items, d),
    )
    net.x, net.u, net.w = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 1)
    net.U, net.P, net.X, net.W = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 1)

    def score(user: Tensor, pos: Tensor, neg: Tensor, history: Tensor) -> Tensor:
        x = net.reduce(net.features(history).view(*history.shape, -1, F))  # (B, H, R, d)
        u, p = net.user(user), net.profile(history)
        beta = net.w(relu(net.x(x) + net.u(u)[:, None, None])).softmax(2)  # (B, H, R, 1)
        of_item = (beta * x).sum(2)  # (B, H, d)
        projected = net.U(u)[:, None]
        alpha = net.W(relu(projected + net.P(p) + net.X(of_item))).softmax(1)  # (B, H, 1)
        query = projected[:, 0] + (alpha * p).sum(1)
        return ((query * net.item(pos)).sum(1) - (query * net.item(neg)).sum(1)) / d

    return Way(net, score, 1e-3, 1e-5)


def dvbpr(n_users: int, phi: nn.Module, dim: int) -> Way:
    """DVBPR around a network `phi` from pixels to `dim` numbers; items come as their pictures `(B, 3, S, S)`."""
    net = nn.Module()
    net.phi, net.theta_u = phi, nn.Embedding(n_users, dim)

    def score(user: Tensor, pos: Tensor, neg: Tensor, _: Tensor) -> Tensor:
        theta = net.theta_u(user)
        return (theta * net.phi(pos)).sum(1) - (theta * net.phi(neg)).sum(1)

    return Way(net, score, 1e-3, 1e-4)


class Pictures(Dataset[tuple[int, Tensor, Tensor]]):
    """Triples with their pictures, each read from its file and scaled whenever a triple is asked for."""

    def __init__(self, folder: Path, triples: np.ndarray, side: int) -> None:
        """Set up.

        Args:
            folder: with `<item>.jpg` of each item.
            triples: `(3, n)` users, positives, negatives.
            side: S, the pixels of a side that pictures are scaled to.
        """
        self.folder, self.triples, self.side = folder, triples, side

    def __len__(self) -> int:
        return self.triples.shape[1]

    def __getitem__(self, place: int) -> tuple[int, Tensor, Tensor]:
        """User, and the pictures of positive and negative `(3, S, S)` in 0 … 1."""
        user, pos, neg = self.triples[:, place].tolist()
        return user, self._read(pos), self._read(neg)

    def _read(self, item: int) -> Tensor:
        from skimage import io, transform

        picture = transform.resize(io.imread(self.folder / f"{item}.jpg"), (self.side, self.side))
        return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))


def read_by_workers(pictures: Pictures, batch: int, workers: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches without end, in order, read by processes that are ahead of who takes them, as torch's loader does."""
    n = len(pictures) // batch
    places = (list(range(start * batch, (start + 1) * batch)) for start in itertools.cycle(range(n)))
    return iter(DataLoader(pictures, batch_sampler=places, num_workers=workers))


# ---- loops in Python -------------------------------------------------------------------------------------


class Triples:
    """Triples one at a time: a positive, items of the user beside it, and a negative that is not theirs.

    The tutorial draws the items beside it also for models that look at none; a triple is new if the sum of its ids,
    read as numbers to the base 32 and rolled up modulo a prime, has not come before.
    """

    BASE, PRIME, MOST = 92_821, 402_653_189, 10

    def __init__(self, n_items: int, *, profile: bool) -> None:
        self.n_items, self.profile = n_items, profile
        self.known: set[int] = set()

    def of(self, user: int, taken: Sequence[int], n: int, rng: random.Random) -> list[tuple[object, ...]]:
        """n new ones of a user."""
        owned = set(taken)
        found: list[tuple[object, ...]] = []
        while len(found) < n:
            pos = taken[rng.randrange(len(taken))]
            beside = rng.sample(taken, min(len(taken), self.MOST))
            if pos not in beside:
                beside[-1] = pos
            neg = rng.randint(0, self.n_items - 1)
            while neg in owned:
                neg = rng.randint(0, self.n_items - 1)
            who = sorted(map(str, beside)) if self.profile else [str(user)]
            if self._is_new(*who, str(pos), str(neg)):
                found.append((beside, pos, neg, user))
        return found

    def _is_new(self, *names: str) -> bool:
        value = 0
        for name in names:
            value = (value * self.BASE % self.PRIME + int(name, 32)) % self.PRIME
        if value in self.known:
            return False
        self.known.add(value)
        return True


def lean_triples_of(
    user: int, taken: Sequence[int], n_items: int, n: int, rng: random.Random, *, profile: bool
) -> list[tuple[object, ...]]:
    """The same with as little as Python needs: tuples in a set, and no items beside the positive that nobody reads.

    With `profile`, each begins with the (at most 10) items up to and including the positive.
    """
    owned, known = set(taken), set()
    found: list[tuple[object, ...]] = []
    while len(found) < n:
        place = rng.randrange(len(taken))
        pos, neg = taken[place], rng.randrange(n_items)
        while neg in owned:
            neg = rng.randrange(n_items)
        triple = (user, pos, neg)
        if triple in known:
            continue
        known.add(triple)
        found.append((taken[max(0, place - 9) : place + 1], *triple) if profile else triple)
    return found


def rank(scores: Tensor, consumed: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, int]:
    """Where held-out items stand, from 0, among all but the consumed: everything is sorted. And of how many."""
    ranking = torch.argsort(scores, descending=True).numpy()
    ranking = ranking[~np.isin(ranking, consumed)]
    return np.flatnonzero(np.isin(ranking, held)), len(ranking)


def metrics(positions: np.ndarray, n: int, cutoffs: Sequence[int]) -> dict[str, float]:
    """Of one user, of places from 0 among n candidates."""
    R = len(positions)
    found = {
        "auc": sum((n - (p + 1)) - (R - (j + 1)) for j, p in enumerate(positions)) / (R * (n - R)),
        "rr": 1 / (positions[0] + 1),
    }
    for k in cutoffs:
        hits = positions[positions < k]
        ideal = sum(1 / np.log2(j + 2) for j in range(min(k, R)))
        found[f"recall@{k}"] = len(hits) / R
        found[f"precision@{k}"] = len(hits) / k
        found[f"ndcg@{k}"] = sum(1 / np.log2(p + 2) for p in hits) / ideal
    return found
