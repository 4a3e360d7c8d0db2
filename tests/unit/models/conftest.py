"""What a step of training is made of: the L2 terms of a batch, and gradients."""

from __future__ import annotations

import pytest
import torch

from visrec.training.pairs import Pairs, Touched


@pytest.fixture
def penalty():
    """`penalty(model, triples)`: the terms as a mean over triples, as the optimiser takes their gradient."""

    def of(model, triples) -> float:
        l2, parameters = model.l2(), dict(model.named_parameters())
        touched = Touched.of(triples, Pairs.of(triples))
        total = 0.0
        for weights, (index, times) in (
            (l2.users, touched.users),
            (l2.items, touched.items),
            (l2.history, touched.history),
        ):
            for name, weight in weights.items():
                rows = parameters[name].detach().double().numpy()[index]
                total += weight / 2 * float(times @ (rows**2).sum(1))
        for name, weight in l2.shared.items():
            total += weight / 2 * float((parameters[name].detach().double() ** 2).sum())
        return total

    return of


@pytest.fixture
def gradients():
    """`gradients(trainer, triples)`: those of a step by parameter, as whole tensors, L2 terms left out."""

    def of(trainer, triples) -> dict[str, torch.Tensor]:
        model, found, step = trainer.model, {}, trainer.optimizer.step

        def watched(of_rows, whole, touched) -> None:
            for (name, parameter), g in zip(trainer.optimizer.whole.items(), whole, strict=True):
                found[name] = torch.zeros_like(parameter) if g is None else g.clone()
            for name, table in trainer.optimizer.tables.items():
                found[name] = torch.zeros_like(table)
                for one in of_rows:
                    if one.table is table:
                        found[name].index_add_(0, one.index, one.g)
            step(of_rows, whole, touched)

        trainer.optimizer.step = watched
        trainer.step(triples)
        assert set(found) == {name for name, one in model.named_parameters() if one.requires_grad}
        return {name: g.detach() for name, g in found.items()}

    return of
