"""A step of matrix factorisation: for models whose score is nothing but rows of tables.

What a step of any model does in general (encode, score, differentiate, carry back to rows) is here two loops: over
the triples of each user, in which an item's row is read once for its score and for the user's gradient, and over the
items. The results are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from visrec.compiled import compiled, in_parallel
from visrec.training.optimizer import RowGradients
from visrec.training.pairs import Buffers, Pairs, grouped

_LEAST = 16  # users a thread should have: each has several triples, and each of these is two vectors


@dataclass(frozen=True)
class Factors:
    """Says that x_ui = b_i + p_u . q_i, by the names of the tables.

    Attributes:
        users: p `(U, K)`.
        items: q `(I, K)`.
        bias: b `(I, 1)`.
    """

    users: str
    items: str
    bias: str

    def bpr(
        self, tables: Mapping[str, nn.Parameter], pairs: Pairs, weight: np.ndarray, buffers: Buffers
    ) -> tuple[float, list[RowGradients]]:
        """`bpr_loss` of a batch and its gradients in the rows that the batch touches.

        With x = x_ui - x_uj, that of a pair is -sigmoid(-x) times that of x (Rendle et al. 2009, section 4.3.1).

        Args:
            tables: of the model, by name; on the CPU.
            pairs: of the batch, whose queries are users.
            weight: `(B,)` of the positives.
            buffers: where the gradients lie until the next call.
        """
        own = [tables[name] for name in (self.users, self.items, self.bias)]
        p, q, b = (table.detach().numpy() for table in own)
        (users, at_user), K = pairs.users, q.shape[1]
        g_ui, g_uj = np.empty(pairs.at_pos.shape, np.float32), np.empty(pairs.at_neg.shape, np.float32)
        loss = np.empty(len(users))
        dp, dq = buffers.of("dp", (len(users), K)), buffers.of("dq", (len(pairs.items), K))
        by_user = grouped(at_user, len(users))
        known = (*by_user, users, pairs.items, pairs.at_pos, pairs.at_neg, weight, p, q, b)
        in_parallel(_bpr, len(users), *known, loss, g_ui, g_uj, dp.numpy(), least=_LEAST)
        pairs.gradients_of_items(p[users], (g_ui, g_uj), dq)
        m = len(pairs.items)
        db = np.bincount(pairs.at_pos, g_ui, minlength=m)
        db += np.bincount(pairs.at_neg.ravel(), g_uj.ravel(), minlength=m)
        of_b = torch.from_numpy(db.astype(np.float32)[:, None])
        at = torch.from_numpy(users), *[torch.from_numpy(pairs.items)] * 2
        found = [
            RowGradients(table, index, g) for table, index, g in zip(own, at, (dp, dq, of_b), strict=True)
        ]
        return float(loss.sum()) / g_uj.size, found


@compiled
def _bpr(  # type: ignore[no-untyped-def]
    start, stop, indptr, order, users, items, at_pos, at_neg, weight, p, q, b, loss, g_ui, g_uj, dp
):
    K, n, one = p.shape[1], at_neg.shape[1], np.float32(1)
    pairs = np.float32(at_neg.size)
    difference = np.empty(K, np.float32)
    for r in range(start, stop):
        u, sum_, total = p[users[r]], dp[r], 0.0
        for k in range(K):
            sum_[k] = 0
        for place in range(indptr[r], indptr[r + 1]):
            t = order[place]
            i, g_i = items[at_pos[t]], np.float32(0)
            q_i = q[i]
            for k in range(n):
                j = items[at_neg[t, k]]
                q_j, x = q[j], np.float32(0)
                for c in range(K):
                    difference[c] = q_i[c] - q_j[c]
                    x += u[c] * difference[c]
                x += b[i, 0] - b[j, 0]
                e = np.exp(-abs(x))  # no overflow, either way
                total += weight[t] * (np.log1p(e) + max(-x, np.float32(0)))
                g = -weight[t] * ((e if x >= 0 else one) / (one + e)) / pairs
                g_uj[t, k] = -g
                g_i += g
                for c in range(K):
                    sum_[c] += g * difference[c]
            g_ui[t] = g_i
        loss[r] = total
