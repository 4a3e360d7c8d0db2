"""Sampled triples as pictures: what a sampler would teach a model, on one page to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.content import Content
from visrec.data.dataset import Dataset, load_dataset
from visrec.data.interactions import Interactions
from visrec.errors import ConfigError
from visrec.evaluation.triples_page import Example, Group, write_triples_page
from visrec.experiment import DataConfig, Experiment, FeaturesConfig
from visrec.features.extractors import folder_name
from visrec.features.features import META, Features
from visrec.progress import Progress
from visrec.training.guidelines import GuidelinesConfig, GuidelinesSampler
from visrec.training.sampling import NOBODY, PopularitySampler, Triples, UniformSampler
from visrec.training.strategies import STRATEGIES

SAMPLERS = ("uniform", "popularity", "guidelines")

Stage = Callable[[str], AbstractContextManager[Progress | None]]

_TITLES = {
    "uniform": "uniform sampling",
    "popularity": "sampling by popularity",
    "guidelines": "sampling by six guidelines",
}
_RULES = {
    "uniform": "An item that the user took stands above any that the user does not have, each with the same chance.",
    "popularity": "An item that the user took stands above one that the user does not have, drawn as often as people "
    "take it.",
}


def _silent(title: str) -> AbstractContextManager[Progress | None]:  # noqa: ARG001
    return nullcontext(None)


def write_triples(
    data: str | Path,
    out: str | Path,
    *,
    sampler: str = "guidelines",
    extractor: str = "color",
    guidelines: GuidelinesConfig | None = None,
    n: int = 24,
    seed: int = 0,
    stage: Stage = _silent,
) -> dict[str, Any]:
    """Write a page of triples that a sampler draws from the training part of a data set.

    Histories are shown whole, and made-up ones too, as a model for visitors sees them.

    Args:
        data: the data set folder.
        out: the page.
        sampler: "uniform", "popularity" or "guidelines".
        extractor: what the visual clusters go by (only "guidelines" has any). Features in DATA/features/EXTRACTOR are
            taken as they are; where there are none they are made there.
        guidelines: settings of that sampler; None: the defaults.
        n: triples in all, spread over the strategies.
        seed: of what is drawn.
        stage: opens progress displays.

    Returns:
        Facts to be printed.

    Raises:
        ConfigError: there is no such sampler, or no such column of creators.
        DataError: the data cannot be read, or the sampler can draw nothing from them.
    """
    if sampler not in SAMPLERS:
        raise ConfigError(f"sampler is '{sampler}'; expected one of {', '.join(SAMPLERS)}.")
    found = load_dataset(data, missing_images="mask")
    plan = Experiment(data=DataConfig(path=str(data), missing_images="mask"), models={"popularity": {}})
    train = plan.split(found).train
    rng = np.random.default_rng(seed)
    if sampler == "guidelines":
        features = _features(Path(data), found, extractor, stage)
        with stage("visual clusters"):
            drawn = GuidelinesSampler.of(
                train,
                Content(**{features.kind: features}, metadata=found.catalog.metadata),
                guidelines or GuidelinesConfig(),
                made_up=True,
                negatives="catalog",
                history="all",
                seed=seed,
                name="A model for visitors",
            )
        groups = _by_strategy(drawn, train, n, rng)
        facts = [("visual clusters", f"{len(drawn.tables.clusters)}"), ("clustered by", extractor)]
        notes = [
            f"Strategy {number}, {STRATEGIES[number - 1].name}, is left out: {why}."
            for number, why in drawn.left_out.items()
        ]
        creators = _names(found.catalog.metadata, (guidelines or GuidelinesConfig()).creator or "artist")
        clusters = drawn.tables.clusters.of
    else:
        groups = [_uniform(sampler, train, n, rng)]
        facts, notes, clusters = [], [], None
        creators = _names(found.catalog.metadata, "artist")
    counts = [("users", train.n_users), ("items", train.n_items), ("training interactions", len(train))]
    write_triples_page(
        out,
        title=f"What {_TITLES[sampler]} teaches: {Path(data).resolve().name}",
        groups=groups,
        facts=[*((label, f"{count:,}") for label, count in counts), *facts],
        notes=notes,
        catalog=found.catalog,
        clusters=clusters,
        creators=creators,
        provenance={
            "sampler": sampler,
            "seed": seed,
            "training data": train.digest,
            **(
                {"guidelines": (guidelines or GuidelinesConfig()).model_dump(mode="json")}
                if clusters is not None
                else {}
            ),
        },
    )
    shown = {group.heading: len(group.examples) for group in groups}
    return {"out": str(out), "triples": sum(shown.values()), **({} if len(shown) == 1 else shown)}


def _features(data: Path, found: Dataset, extractor: str, stage: Stage) -> Features:
    folder = data / "features" / folder_name(extractor)
    if (folder / META).is_file():
        return Features.load(folder).align(found.catalog.items)
    with stage(f"features: {extractor}") as progress:
        return FeaturesConfig(extractor=extractor).extract(found.catalog, folder, progress=progress)


def _names(metadata: pl.DataFrame, column: str) -> Sequence[str] | None:
    if column not in metadata.columns:
        return None
    return [str(one or "") for one in metadata[column].to_list()]


def _uniform(sampler: str, train: Interactions, n: int, rng: np.random.Generator) -> Group:
    drawn = (
        PopularitySampler(train, history="all")
        if sampler == "popularity"
        else UniformSampler(train, negatives="catalog", history="all")
    )
    triples = next(drawn.epoch(n, rng))
    remark = f"All of an epoch of {len(drawn):,} positives, one for each interaction."
    return Group(f"{sampler.capitalize()} negatives", _RULES[sampler], remark, _examples(triples, train))


def _by_strategy(
    drawn: GuidelinesSampler, train: Interactions, n: int, rng: np.random.Generator
) -> list[Group]:
    groups = []
    each, more = divmod(n, len(drawn.strategies))
    for place, (number, strategy) in enumerate(drawn.strategies.items()):
        count = each + (place < more)
        triples = drawn.draw(number, count, rng)
        share = f"{drawn.shares[number]:.1%} of an epoch of {len(drawn):,} positives"
        remark = f"{share}; {len(strategy.slots):,} different beginnings."
        groups.append(
            Group(
                f"{number}. {strategy.name[0].upper()}{strategy.name[1:]}",
                strategy.rule,
                remark,
                _examples(triples, train, drawn, number),
            )
        )
    return groups


def _examples(
    triples: Triples, train: Interactions, drawn: GuidelinesSampler | None = None, number: int = 1
) -> list[Example]:
    """Triples of a strategy to be shown, each with why it is one as far as that can be seen."""
    assert triples.history is not None
    examples = []
    for row in range(len(triples)):
        user, pos, neg = (int(one[row]) for one in (triples.user, triples.pos, triples.neg[:, 0]))
        history = triples.history.of(row).tolist()
        who = "a made-up history" if user == NOBODY else f"user {train.users.take(np.array([user]))[0]}"
        remarks, marked = ["", ""], pos if pos in history else None
        if drawn is not None:
            of, creator, unit = drawn.tables.clusters.of, drawn.tables.creator, drawn.tables.unit
            query = history[0] if number == 4 else pos
            if number in (1, 2, 4) and of[neg] == of[query] >= 0:
                remarks[1] = "hard" if number == 4 else "hard negative"
            if number == 4:
                near, far = (float(unit[query] @ unit[item]) for item in (pos, neg))
                remarks = [f"cosine {near:.2f}", " · ".join(filter(None, [f"cosine {far:.2f}", remarks[1]]))]
            if number == 3 and creator is not None:
                like = [one for one in history if of[one] == of[pos] and creator[one] == creator[pos]]
                marked = like[-1]
        examples.append(Example(who, history, pos, neg, remarks[0], remarks[1], marked))
    return examples
