from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError, DivergedError
from visrec.features.features import Features
from visrec.models.bpr import BPR
from visrec.models.vbpr import VBPR
from visrec.training.optimizer import L2
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer, TrainingConfig

SMALL = {"dim_gamma": 4, "batch_size": 8, "reg": 0.0}
TRIPLES = Triples(
    np.array([0, 0, 2, 0]),
    np.array([1, 1, 4, 3]),
    np.array([[4], [2], [3], [4]]),
    np.ones(4, dtype=np.float32),
)


@pytest.fixture
def world(two_tastes):
    """(train, valid): 8 users of two tastes, 12 items."""
    return two_tastes(8, 12, 4, liked=12)


def _trainer(train, validate=None, **settings) -> Trainer:
    """A trainer of a BPR whose parameters have their initial values."""
    model = BPR(**{**SMALL, **settings})
    model.build(train.n_users, train.n_items)
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.beta_i.normal_(generator=torch.Generator().manual_seed(1))
    return Trainer(model, UniformSampler(train), validate, fingerprint="test")


def _loss_by_loops(model, triples: Triples) -> torch.Tensor:
    total = torch.zeros(())
    for u, i, j, weight in zip(triples.user, triples.pos, triples.neg[:, 0], triples.weight, strict=True):
        x_ui = model.beta_i[i, 0] + model.gamma_u[u] @ model.gamma_i[i]
        x_uj = model.beta_i[j, 0] + model.gamma_u[u] @ model.gamma_i[j]
        total = total - float(weight) * torch.log(torch.sigmoid(x_ui - x_uj))
    return total / len(triples)


# ---- one step ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 5, 0.5, 2]])
def test_the_loss_of_a_batch_is_that_of_loops(world, weights):
    trainer = _trainer(world[0])
    triples = Triples(TRIPLES.user, TRIPLES.pos, TRIPLES.neg, np.array(weights, dtype=np.float32))
    expected = _loss_by_loops(trainer.model, triples).item()
    assert trainer.step(triples) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_a_step_of_sgd_follows_the_gradient_and_the_decay(world, weight_decay):
    trainer = _trainer(world[0], optimizer="sgd", learning_rate=0.5, weight_decay=weight_decay)
    reference = copy.deepcopy(trainer.model)
    _loss_by_loops(reference, TRIPLES).backward()
    trainer.step(TRIPLES)
    for name, parameter in trainer.model.named_parameters():
        old = reference.get_parameter(name)
        expected = old - 0.5 * (old.grad + weight_decay * old)
        torch.testing.assert_close(parameter, expected, rtol=1e-5, atol=1e-6)


def test_the_models_l2_terms_are_part_of_the_gradient_and_not_of_the_loss_reported(world):
    free = _trainer(world[0], optimizer="sgd", learning_rate=0.5)
    held = _trainer(world[0], optimizer="sgd", learning_rate=0.5, reg=0.3)
    reference = copy.deepcopy(held.model)
    penalty = torch.zeros(())
    for u, i, j in zip(TRIPLES.user, TRIPLES.pos, TRIPLES.neg[:, 0], strict=True):
        penalty = penalty + reference.gamma_u[u].square().sum()
        for item in (i, j):
            penalty = penalty + reference.gamma_i[item].square().sum() + reference.beta_i[item, 0] ** 2
    (_loss_by_loops(reference, TRIPLES) + 0.3 / 2 * penalty / 4).backward()
    assert held.step(TRIPLES) == free.step(TRIPLES)
    for name, parameter in held.model.named_parameters():
        old = reference.get_parameter(name)
        torch.testing.assert_close(parameter, old - 0.5 * old.grad, rtol=1e-5, atol=1e-6)


def test_adam_and_adamw_differ_in_how_they_decay(world):
    # The first step of Adam is lr * sign(gradient). With a decay large against the gradient, Adam steps by
    # lr * sign(p); AdamW shrinks p by the factor 1 - lr * decay, whatever the gradient.
    for name in ("adam", "adamw"):
        trainer = _trainer(world[0], optimizer=name, learning_rate=0.01, weight_decay=10.0)
        old = trainer.model.gamma_i.detach()[7].clone()  # of no triple: no gradient but the decay's
        trainer.step(TRIPLES)
        expected = old - 0.01 * old.sign() if name == "adam" else old * (1 - 0.01 * 10)
        torch.testing.assert_close(trainer.model.gamma_i.detach()[7], expected, rtol=1e-4, atol=1e-5)


def test_each_distinct_user_and_item_of_a_batch_is_encoded_once(world, monkeypatch):
    monkeypatch.setattr(BPR, "factors", None)  # whose steps encode nothing
    trainer = _trainer(world[0])
    asked = {"users": [], "items": []}

    def counting(encode, kind):
        def wrapped(index):
            asked[kind].append(index.tolist())
            return encode(index)

        return wrapped

    trainer.model.encode_items = counting(trainer.model.encode_items, "items")
    trainer.model.encode_users = counting(trainer.model.encode_users, "users")
    trainer.step(TRIPLES)
    assert asked == {"users": [[0, 2]], "items": [[1, 2, 3, 4]]}


def test_rows_that_are_looked_up_and_then_not_used_have_no_gradient_and_stay(world):
    class WithoutBias(BPR):
        def encode_items(self, items):
            nothing = torch.zeros_like(self.take(self.beta_i, items))
            return torch.cat([self.take(self.gamma_i, items), nothing], dim=1)

    model = WithoutBias(**SMALL)
    model.build(world[0].n_users, world[0].n_items)
    model.initialize(torch.Generator().manual_seed(0))
    before = model.gamma_i.detach().clone()
    Trainer(model, UniformSampler(world[0]), None, fingerprint="test").step(TRIPLES)
    assert (model.beta_i == 0).all()
    assert (model.gamma_i[[1, 2, 3, 4]] != before[[1, 2, 3, 4]]).all()


class Direct(BPR):
    """A table is read, but not by `take`."""

    def encode_items(self, items):
        return torch.cat([self.gamma_i[items], self.take(self.beta_i, items)], dim=1)


def test_a_table_that_would_never_learn_is_refused(world):
    with pytest.raises(
        ConfigError, match=r"Direct names gamma_i .* write self\.take\(self\.gamma_i, index\)"
    ):
        Direct(**SMALL).fit(world[0])


class Fixed(BPR):
    """Items are what they are from the start; only users learn."""

    def encode_items(self, items):
        return torch.cat([self.gamma_i, self.beta_i], dim=1).detach()[items]

    def l2(self):
        return L2(users={"gamma_u": 0.0})


def test_vectors_of_items_may_be_fixed(world):
    model = Fixed(**SMALL)
    model.build(world[0].n_users, world[0].n_items)
    model.initialize(torch.Generator().manual_seed(0))
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    trainer = Trainer(model, UniformSampler(world[0]), None, fingerprint="test")
    trainer.step(TRIPLES)
    assert torch.equal(model.gamma_i, before["gamma_i"])
    assert (model.gamma_u[[0, 2]] != before["gamma_u"][[0, 2]]).all()


def test_tutorial_error_13_a_last_batch_of_one_triple_is_trained_on(world):
    trainer = _trainer(world[0], batch_size=31)  # 32 interactions: the last batch has one
    trainer.run()
    assert trainer.log[0]["triples"] == 32


# ---- epochs --------------------------------------------------------------------------------------------


def _scripted(values: list[float]):
    """A validation that gives these values one after the other, whatever was learnt."""
    left = iter(values)
    return lambda: next(left)


def test_the_loss_falls_and_the_log_tells(world):
    trainer = _trainer(world[0], epochs=30, learning_rate=0.05)
    trainer.run()
    assert [line["epoch"] for line in trainer.log] == list(range(1, 31))
    assert trainer.log[-1]["loss"] < 0.5 * trainer.log[0]["loss"]
    assert set(trainer.log[0]) == {"epoch", "loss", "learning_rate", "triples", "seconds", "valid_seconds"}


def test_early_stopping_keeps_the_best_epoch(world):
    states, trainer = [], None
    script = _scripted([0.1, 0.3, 0.2, 0.3, 0.1, 9.9])

    def validate() -> float:
        states.append(copy.deepcopy(trainer.model.state_dict()))
        return script()

    trainer = _trainer(world[0], validate, epochs=50, patience=3)
    trainer.run()
    assert [line["valid"] for line in trainer.log] == [0.1, 0.3, 0.2, 0.3, 0.1]  # an equal value is no better
    assert trainer.best_epoch == 2
    torch.testing.assert_close(trainer.model.state_dict(), states[1], rtol=0, atol=0)


def test_without_validation_the_last_epoch_is_kept(world):
    trainer = _trainer(world[0], epochs=4, patience=1)
    trainer.run()
    assert len(trainer.log) == 4
    last = copy.deepcopy(trainer.model.state_dict())
    again = _trainer(world[0], epochs=4, patience=1)
    for _ in range(4):
        again._run_epoch()
    torch.testing.assert_close(last, again.model.state_dict(), rtol=0, atol=0)


def test_a_plateau_lowers_the_learning_rate(world):
    script = _scripted([0.5, 0.4, 0.4, 0.6, 0.1, 0.1, 0.1, 0.1])
    trainer = _trainer(
        world[0], script, epochs=8, learning_rate=0.1, plateau_factor=0.5, plateau_patience=1, patience=99
    )
    trainer.run()
    rates = [line["learning_rate"] for line in trainer.log]
    # Falls after the second epoch in a row without a better value: epochs 3, 6 and 8.
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025])
    assert trainer.learning_rate == pytest.approx(0.0125)


@pytest.mark.parametrize(
    ("least", "epochs"), [(0.0, 20), (0.02, 6), (0.025, 6), (0.03, 4), (0.1, 2), (9.0, 2)]
)
def test_training_ends_when_a_plateau_would_take_the_learning_rate_below_the_least(
    world, tmp_path, least, epochs
):
    script = _scripted(
        [0.5] * 20
    )  # never better than the first: falls to 0.05, 0.025, 0.0125 after epochs 2, 4, 6
    settings = {
        "learning_rate": 0.1,
        "plateau_factor": 0.5,
        "plateau_patience": 1,
        "patience": 99,
        "epochs": 20,
    }
    trainer = _trainer(world[0], script, **settings, least_learning_rate=least)
    trainer.run(checkpoint=tmp_path / "checkpoint")
    # The first epoch sets the mark, two without gain make a plateau.
    assert len(trainer.log) == (epochs + 1 if epochs < 20 else 20)
    assert all(line["learning_rate"] >= min(least, 0.1) for line in trainer.log)
    again = _trainer(world[0], script, **settings, least_learning_rate=least)
    again.run(checkpoint=tmp_path / "checkpoint")
    assert len(again.log) == len(trainer.log)


def test_no_epochs_leave_the_initial_values(world):
    trainer = _trainer(world[0], epochs=0)
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.run()
    torch.testing.assert_close(trainer.model.state_dict(), before, rtol=0, atol=0)


def test_progress_is_told_and_reaches_the_end_also_when_stopped_early(world):
    told = []
    trainer = _trainer(world[0], _scripted([0.2, 0.1]), epochs=40, patience=1)
    trainer.run(progress=lambda *args: told.append(args))
    assert [(done, total) for done, total, _ in told] == [(1, 40), (2, 40), (40, 40)]
    assert "ndcg@20 0.1000 (best 0.2000)" in told[-1][2]


@pytest.mark.parametrize("learning_rate", [1e10, 1e30])
def test_divergence_is_noticed_and_said(world, learning_rate):
    model = BPR(**SMALL, optimizer="sgd", learning_rate=learning_rate, epochs=50, weight_decay=0.1)
    with pytest.raises(DivergedError, match=r"BPR diverged in epoch \d+ .*Try learning_rate="):
        model.fit(world[0])


def test_divergence_in_the_very_last_step_is_noticed(world):
    trainer = _trainer(world[0], epochs=1, batch_size=1000)
    step = trainer.step

    def last(batch: Triples) -> float:
        loss = step(batch)
        with torch.no_grad():
            trainer.model.gamma_u[3, 1] = math.nan
        return loss

    trainer.step = last
    with pytest.raises(DivergedError, match="diverged in epoch 1"):
        trainer.run()


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 0}, {"patience": 0}, {"epochs": -1}, {"seed": -1}, {"optimizer": "lbfgs"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


# ---- going on after an interruption --------------------------------------------------------------------

SETTINGS = {
    **SMALL,
    "epochs": 20,
    "learning_rate": 0.05,
    "weight_decay": 0.01,
    "patience": 4,
    "plateau_patience": 1,
    "plateau_factor": 0.5,
    "valid_metric": "auc",
}


class InterruptedByTestError(Exception):
    """What a test throws into the training."""


def _stop_at(epoch: int):
    def progress(done: int, total: int, note: str) -> None:
        if done == epoch:
            raise InterruptedByTestError

    return progress


def _timeless(log: list[dict]) -> list[dict]:
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in log]


def _noise(model, *_, part: str) -> float:
    return int(model.digest[:8], 16) / 2**32


@pytest.mark.parametrize("with_valid", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_an_interrupted_training_goes_on_bit_for_bit(world, tmp_path, monkeypatch, optimizer, with_valid):
    # A validation that is pure noise, but the same for the same state to the last bit: the rate falls, epochs are
    # better or worse, and any difference of state shows in the log.
    monkeypatch.setattr("visrec.training.pairwise.mean_metric", _noise)
    train, valid = world[0], world[1] if with_valid else None
    settings = {**SETTINGS, "optimizer": optimizer}
    if not with_valid:
        settings["epochs"] = 5
    undisturbed = BPR(**settings).fit(train, valid=valid)
    n_epochs = len(undisturbed.training_log)
    assert (undisturbed.training_log[-1]["learning_rate"] < 0.05) == with_valid
    for epoch in range(1, n_epochs):
        checkpoint = tmp_path / f"{epoch}.checkpoint"
        with pytest.raises(InterruptedByTestError):
            BPR(**settings).fit(train, valid=valid, checkpoint=checkpoint, progress=_stop_at(epoch))
        resumed = BPR(**settings).fit(train, valid=valid, checkpoint=checkpoint)
        assert resumed.digest == undisturbed.digest, epoch
        assert _timeless(resumed.training_log) == _timeless(undisturbed.training_log)


def test_a_training_interrupted_after_every_epoch_ends_the_same(world, tmp_path):
    train, valid = world
    undisturbed = BPR(**SETTINGS).fit(train, valid=valid)
    for epoch in range(1, len(undisturbed.training_log)):
        with pytest.raises(InterruptedByTestError):
            BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c", progress=_stop_at(epoch))
    assert BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c").digest == undisturbed.digest


def test_an_interrupted_vbpr_goes_on_bit_for_bit(world, tmp_path):
    train, valid = world
    features = Features.from_array(np.random.default_rng(0).normal(size=(12, 5)), train.items.values)
    undisturbed = VBPR(**SETTINGS, dim_theta=3).fit(train, features, valid=valid)
    with pytest.raises(InterruptedByTestError):
        VBPR(**SETTINGS, dim_theta=3).fit(
            train, features, valid=valid, checkpoint=tmp_path / "c", progress=_stop_at(2)
        )
    resumed = VBPR(**SETTINGS, dim_theta=3).fit(train, features, valid=valid, checkpoint=tmp_path / "c")
    assert resumed.digest == undisturbed.digest


def test_a_finished_training_is_not_run_again(world, tmp_path):
    train, valid = world
    first = BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c")
    again = BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c")
    assert again.digest == first.digest
    assert again.training_log == first.training_log  # with the seconds of the first


def test_the_checkpoint_of_another_training_is_ignored(world, interactions, tmp_path):
    train, valid = world
    other_train = train.where(np.arange(len(train)) > 0)
    for change in ({"seed": 1}, {"learning_rate": 0.04}, {"reg": 0.1}):
        BPR(**{**SETTINGS, **change}).fit(train, valid=valid, checkpoint=tmp_path / "c")
        fresh = BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c")
        assert fresh.digest == BPR(**SETTINGS).fit(train, valid=valid).digest
    for other in ((other_train, valid), (train, None)):
        BPR(**SETTINGS).fit(other[0], valid=other[1], checkpoint=tmp_path / "c")
        fresh = BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c")
        assert fresh.digest == BPR(**SETTINGS).fit(train, valid=valid).digest


def test_the_checkpoint_of_an_earlier_edition_is_ignored(world, tmp_path, monkeypatch):
    train, valid = world
    expected = BPR(**SETTINGS).fit(train, valid=valid).digest
    monkeypatch.setattr(BPR, "edition", BPR.edition - 1)
    BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    monkeypatch.undo()
    assert BPR(**SETTINGS).fit(train, valid=valid, checkpoint=tmp_path / "c").digest == expected
    assert (tmp_path / "c").read_bytes() != before  # made anew, not found complete


def test_a_damaged_checkpoint_is_ignored(world, tmp_path):
    train, valid = world
    path = tmp_path / "c"
    expected = BPR(**SETTINGS).fit(train, valid=valid, checkpoint=path).digest
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-1], b"", b"nonsense", whole[:middle] + b"????" + whole[middle + 4 :]):
        path.write_bytes(damaged)
        assert BPR(**SETTINGS).fit(train, valid=valid, checkpoint=path).digest == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler": "popularity", "negatives": "catalog"}, "does nothing with sampler = 'popularity'"),
        ({"guidelines": {"hard": 0.1}}, "guidelines has settings, but sampler is 'uniform'"),
    ],
)
def test_settings_in_vain_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        BPR(**settings)
