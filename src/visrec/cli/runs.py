"""Commands that make a run and ask it: demo, run, evaluate, compare, tune, recommend, similar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visrec.cli.options import (
    L2,
    AllowMissingImages,
    DataOption,
    EventsOption,
    ExtractorOption,
    FeaturesOption,
    Float16,
    Json,
    Layer,
    MinRating,
    Out,
    Pca,
    PoolOption,
    Precision,
    ProtocolOption,
    Set,
    SplitOption,
    Standardize,
    UsersOption,
    WeightsOption,
    Whiten,
)
from visrec.cli.parsing import (
    apply,
    apply_features,
    apply_protocol,
    check_format,
    compared,
    experiment_values,
    features_settings,
    image_file,
    names,
    text_format,
    weights_of,
    whole_numbers,
)
from visrec.cli.rendering import stage
from visrec.cli.run_rendering import show_contest, show_items, show_run, show_table, show_tuning
from visrec.cli.serving import serve_run
from visrec.errors import ConfigError


def demo(
    out: Out = Path("visrec-demo"),
    items: Annotated[int, typer.Option(min=40, help="Pictures in the synthetic catalogue.")] = 2000,
    users: Annotated[int, typer.Option(min=12, help="People.")] = 700,
    seed: Annotated[int, typer.Option(help="Another seed draws another world.")] = 0,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to serve it; if it is taken, the next that is free.")
    ] = 8000,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Serve the run in the end, until Ctrl-C.")
    ] = True,
) -> None:
    """Draw a synthetic catalogue, train models on it, compare them, and open it as a web page."""
    from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
    from visrec.experiment import Experiment
    from visrec.runs import run

    out = out.resolve()
    if not out.name:
        raise ConfigError(f"--out is {out}; expected a folder to make, such as visrec-demo.")
    data = out.with_name(f"{out.name}-data")
    with stage("drawing a synthetic catalogue") as progress:
        config = SyntheticConfig(n_items=items, n_users=users, seed=seed)
        write_synthetic(data, config, progress=lambda done, total: progress(done, total, ""))
    experiment = Experiment.from_toml(Path(__file__).parents[1] / "demo.toml")
    settings = experiment.data.replace(path=str(data))
    found = run(experiment.replace(data=settings, seed=seed), out, stage=stage)
    show_run(found, found.reports)
    if serve:
        from visrec.serving.settings import ServiceSettings

        serve_run(out, ServiceSettings(port=port), other_port=True)


def run(
    source: Annotated[Path, typer.Argument(help="A data set folder, or an experiment.toml.")],
    out: Out,
    models: Annotated[str | None, typer.Option(help="Comma-separated names from `visrec models`.")] = None,
    extractor: ExtractorOption = None,
    features: FeaturesOption = None,
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
    min_rating: MinRating = None,
    events: EventsOption = None,
    split: SplitOption = None,
    cutoffs: Annotated[str | None, typer.Option(help="The k of the metrics at k. [default: 20,100]")] = None,
    protocol: ProtocolOption = None,
    users: UsersOption = None,
    seed: Annotated[int | None, typer.Option(help="For every model that sets none. [default: 0]")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Train what depends on a seed with so many, as one result. [default: 1]"),
    ] = None,
    data: DataOption = None,
    allow_missing_images: AllowMissingImages = False,
    as_json: Json = False,
) -> None:
    """Extract features, train and evaluate models. Run it again to do only what is missing."""
    from visrec.runs import run as run_experiment

    values = experiment_values(source, data)
    apply(values, "data", min_rating=min_rating, events=events, split=split)
    apply(values, "data", missing_images="mask" if allow_missing_images else None)
    given = features_settings(
        weights, (layer, pool, precision, set_), standardize, (pca, whiten, l2), float16
    )
    apply_features(values, features, extractor, given)
    apply(values, "evaluation", cutoffs=None if cutoffs is None else whole_numbers(cutoffs))
    apply_protocol(values, protocol, users)
    values |= {key: value for key, value in (("seed", seed), ("seeds", seeds)) if value is not None}
    if models is not None:
        known = values.get("models", {})
        values["models"] = {name: known.get(name, {}) for name in names(models)}
    if not values.get("models"):
        raise ConfigError("No models are named. Add --models, such as --models popularity,visrank,bpr,vbpr.")
    from visrec.experiment import Experiment

    found = run_experiment(Experiment(**values), out, stage=stage)
    show_run(found, found.reports, as_json=as_json)


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    slices: Annotated[
        str | None,
        typer.Option(
            help="Groups of users: history, popularity, new, visual, or columns of the metadata, comma-separated. "
            "[default: those that divide the users]"
        ),
    ] = None,
    protocol: ProtocolOption = None,
    users: UsersOption = None,
    form: Annotated[
        str | None, typer.Option("--format", help="Print the leaderboard as md, latex, csv or json.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --format: write it into a file.")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate the models of a run again and write its reports afresh; with --format, only what is missing."""
    from visrec.run_folder import Run
    from visrec.run_report import evaluate_run

    check_format(form, out, as_json=as_json)
    found = Run.load(folder)
    asked = None if slices is None else names(slices)
    values = {"evaluation": found.experiment.evaluation.model_dump()}
    if form is not None:  # what is there is shown, by the protocol that it was made by
        values["evaluation"]["protocol"] = found.reported_protocol.model_dump()
    apply_protocol(values, protocol, users)
    found = found.evaluated_as(values["evaluation"])
    reports = evaluate_run(found, stage=stage, afresh=form is None, slices=asked)
    if form is not None:
        show_table(found, reports, form, out)
    else:
        show_run(found, reports, as_json=as_json)


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    metric: Annotated[
        str | None, typer.Option(help="Comma-separated metrics. [default: the first nDCG, and auc]")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The model that all others are compared with. [default: the best]")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="table, md, latex, csv or json. [default: table]")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write it to a file.")] = None,
) -> None:
    """Put the models of runs side by side: paired tests on the same users, corrected for their number."""
    from visrec import run_comparison

    chosen = text_format(format_, out)
    found = run_comparison.compare(
        folders, metrics=None if metric is None else names(metric), baseline=baseline
    )
    show_contest(found, chosen, out)


def tune(
    source: Annotated[Path, typer.Argument(help="A data set folder, or an experiment.toml.")],
    model: Annotated[str, typer.Option(help="A model of `visrec models`, or of the experiment.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the search.")],
    trials: Annotated[int, typer.Option(min=1, help="How many settings are tried, in all.")] = 30,
    metric: Annotated[str, typer.Option(help="What is maximised on the validation part.")] = "ndcg@20",
    extractor: ExtractorOption = None,
    features: FeaturesOption = None,
    weights: WeightsOption = None,
    layer: Layer = None,
    pool: PoolOption = None,
    set_: Set = None,
    min_rating: MinRating = None,
    split: SplitOption = None,
    seed: Annotated[int | None, typer.Option(help="Of the model and of the search. [default: 0]")] = None,
    data: DataOption = None,
    allow_missing_images: AllowMissingImages = False,
    as_json: Json = False,
) -> None:
    """Search better settings for a model on the validation part; writes them as an experiment to run."""
    from visrec import tuning
    from visrec.experiment import Experiment

    values = experiment_values(source, data)
    apply(values, "data", min_rating=min_rating, split=split)
    apply(values, "data", missing_images="mask" if allow_missing_images else None)
    given = features_settings(weights, (layer, pool, None, set_), None, (None, False, False), False)
    apply_features(values, features, extractor, given)
    values |= {} if seed is None else {"seed": seed}
    values["models"] = {model: values.get("models", {}).get(model, {})}
    found = tuning.tune(Experiment(**values), model, out, trials=trials, metric=metric, stage=stage)
    show_tuning(found, out, as_json=as_json)


def recommend(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    model: Annotated[str, typer.Option(help="A model of the run.")],
    user: Annotated[str | None, typer.Option(help="A user id.")] = None,
    history: Annotated[
        str | None, typer.Option(help="For a visitor: comma-separated ids of liked items.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """The best items for a user, or for a visitor who likes some items."""
    from visrec.run_folder import Run

    if (user is None) == (history is None):
        raise ConfigError("Give either --user, or --history with the ids of liked items.")
    found = Run.load(folder)
    fitted = found.model(model)
    table = (
        fitted.recommend([user], k)
        if user is not None
        else fitted.recommend_for_history(names(history or ""), k)
    )
    show_items(found, table, f"{model} for {user or 'a visitor'}", as_json=as_json)


def draw_map(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    method: Annotated[str, typer.Option(help="tsne or pca.")] = "tsne",
) -> None:
    """Lay the catalogue out as a map, where what looks alike lies together; `visrec serve` shows it."""
    from visrec.features.projection import named, project
    from visrec.run_folder import Run

    chosen, features = named(method), Run.load(folder).mapped
    with stage(f"{chosen} of {len(features)} items"):
        project(features, chosen)


def similar(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a folder of features (visrec extract).")
    ],
    item: Annotated[str | None, typer.Option(help="An item id.")] = None,
    image: Annotated[Path | None, typer.Option(help="Any image file instead.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Compare as this model does. [default: by visual features]")
    ] = None,
    extractor: Annotated[
        str | None, typer.Option(help="In a comparison of extractors: by this one's features.")
    ] = None,
    weights: WeightsOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """The items most like one, or most like any image."""
    from visrec import neighbours
    from visrec.run_folder import Run

    if (item is None) == (image is None):
        raise ConfigError("Give either --item with an item id, or --image with a file.")
    source = compared(folder, extractor)
    found = source if isinstance(source, Run) else None
    if model is not None:
        if found is None or item is None:
            raise ConfigError(
                "--model goes with a run folder and --item; leave it out to compare by features."
            )
        table, by = found.similar(item, k, model=model), model
    else:
        features = source.features if isinstance(source, Run) else source
        by = str(features.provenance["extractor"])
        if item is not None:
            table = neighbours.similar_items(features, [item], k)
        else:
            table = neighbours.similar_to_images(
                features, [image_file(image)], k, weights=weights_of(weights)
            )
    show_items(found, table, f"like {item or image}, by {by}", as_json=as_json)
