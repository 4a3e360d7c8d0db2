"""Commands about what models learn from: extract, extractors, compare-features, triples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visrec.cli.options import (
    L2,
    AllowMissingImages,
    Float16,
    Json,
    Layer,
    MinRating,
    Pca,
    PoolOption,
    Precision,
    Set,
    SplitOption,
    Standardize,
    WeightsOption,
    Whiten,
)
from visrec.cli.parsing import apply, experiment_values, features_settings, names, pairs, weights_of
from visrec.cli.rendering import print_facts, print_rows, stage
from visrec.cli.run_rendering import facts_of, show_comparison
from visrec.errors import ConfigError


def compare_features(
    source: Annotated[Path, typer.Argument(help="A data set folder, or an experiment.toml.")],
    extractors: Annotated[str, typer.Option(help="Comma-separated names from `visrec extractors`.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the comparison.")],
    models: Annotated[
        str | None, typer.Option(help="Models that learn from features. [default: visrank]")
    ] = None,
    weights: WeightsOption = None,
    set_: Set = None,
    min_rating: MinRating = None,
    split: SplitOption = None,
    seed: Annotated[int | None, typer.Option(help="For every model that sets none. [default: 0]")] = None,
    queries: Annotated[int, typer.Option(min=0, help="Items whose nearest pictures are shown.")] = 6,
    allow_missing_images: AllowMissingImages = False,
    as_json: Json = False,
) -> None:
    """Which features recommend best, beside what their networks do on ImageNet: one table, and a page to look at."""
    from visrec import comparison
    from visrec.experiment import Experiment

    values = experiment_values(source, None)
    apply(values, "data", min_rating=min_rating, split=split)
    apply(values, "data", missing_images="mask" if allow_missing_images else None)
    apply(values, "features", weights=weights_of(weights), options=pairs(set_ or []) or None)
    values |= {} if seed is None else {"seed": seed}
    known = values.get("models") or {"visrank": {}}
    values["models"] = {name: known.get(name, {}) for name in (names(models) if models else known)}
    found = comparison.compare_features(
        Experiment(**values), names(extractors), out, queries=queries, stage=stage
    )
    show_comparison(found, out, as_json=as_json)
    comparison.check(found)


def extract(
    data: Annotated[Path, typer.Argument(help="A data set folder.")],
    extractor: Annotated[
        str, typer.Option(help='A name from `visrec extractors`, or several joined by "+".')
    ],
    weights: WeightsOption = None,
    layer: Layer = None,
    pool: PoolOption = None,
    precision: Precision = None,
    set_: Set = None,
    standardize: Standardize = None,
    pca: Pca = None,
    whiten: Whiten = False,
    l2: L2 = False,
    float16: Float16 = False,
    out: Annotated[Path | None, typer.Option(help="[default: DATA/features/EXTRACTOR]")] = None,
    allow_missing_images: AllowMissingImages = False,
    as_json: Json = False,
) -> None:
    """Turn the images of a data set into features on disk. Run it again to do only what is new or changed."""
    from visrec.data.dataset import load_catalog
    from visrec.experiment import FeaturesConfig
    from visrec.features.extractors import folder_name

    given = features_settings(
        weights, (layer, pool, precision, set_), standardize, (pca, whiten, l2), float16
    )
    settings = FeaturesConfig(extractor=extractor, **given)
    catalog = load_catalog(data, missing_images="mask" if allow_missing_images else "error")
    target = out or data / "features" / folder_name(extractor)
    with stage(f"features: {extractor}") as progress:
        features = settings.extract(catalog, target, progress=progress)
    print_facts({"out": str(target), **facts_of(features)}, as_json=as_json)


def triples(
    data: Annotated[Path, typer.Argument(help="A data set folder.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")],
    sampler: Annotated[str, typer.Option(help="uniform, popularity or guidelines.")] = "guidelines",
    extractor: Annotated[
        str, typer.Option(help="What visual clusters go by: a name from `visrec extractors`.")
    ] = "color",
    creator: Annotated[
        str | None, typer.Option(help="The column of items.csv that says who made an item. [default: artist]")
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="How many triples, in all.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws others.")] = 0,
    as_json: Json = False,
) -> None:
    """What a model would learn from: sampled triples as pictures on one page, each beside the rule that made it."""
    from visrec.training.guidelines import GuidelinesConfig
    from visrec.triples import write_triples

    facts = write_triples(
        data,
        out,
        sampler=sampler,
        extractor=extractor,
        guidelines=GuidelinesConfig(creator=creator),
        n=n,
        seed=seed,
        stage=stage,
    )
    print_facts(facts, as_json=as_json)


def extractors(
    search: Annotated[
        str | None,
        typer.Argument(help="All extractors whose name contains this; without it, the best known."),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="NETWORK", help="The layers of a network, and what each gives.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The extractors of visual features there are."""
    from visrec.features import listing

    if layers is not None:
        print_rows(listing.layers(layers), as_json=as_json)
        return
    rows = listing.extractors(search)
    if not rows:
        raise ConfigError(f"No extractor's name contains '{search}'. `visrec extractors ''` lists them all.")
    print_rows([vars(one) if as_json else listing.row(one) for one in rows], as_json=as_json)
    if not as_json and search is None:
        print(listing.MORE)
