"""The command line: parse, call, render. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from visrec.errors import ConfigError, RunError, VisrecError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from visrec.evaluation.protocol import Report
    from visrec.evaluation.transfer import Comparison
    from visrec.features.features import Features
    from visrec.recommender import Progress
    from visrec.runs import Run
    from visrec.tuning import Tuning

app = typer.Typer(
    name="visrec",
    help="Visual recommendation: from a folder of images and a table of likes to recommendations to look at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Out = Annotated[Path, typer.Option("--out", help="The run folder.")]

# What the pictures are turned into: the same options wherever features are made.
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help="default, random, a file (.safetensors, .pth), or EXTRACTOR=one of these; repeat for several.",
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(help="Take this layer's output, by name (layer4). [default: before the classifier]"),
]
PoolOption = Annotated[
    str | None, typer.Option("--pool", help="mean, max, gem, cls, or regions, of the layer's map or tokens.")
]
Precision = Annotated[
    str | None,
    typer.Option(help="auto, float32 or bfloat16. [default: auto, bfloat16 where the hardware has it]"),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="An option of the extractor (or EXTRACTOR.KEY=VALUE); repeat for several.",
    ),
]
Standardize = Annotated[
    bool | None,
    typer.Option("--standardize/--no-standardize", help="Columns of mean 0, variance 1. [default: on]"),
]
Pca = Annotated[int | None, typer.Option(min=1, help="Keep so many principal components.")]
Whiten = Annotated[bool, typer.Option("--whiten", help="Give each principal component variance 1.")]
L2 = Annotated[bool, typer.Option("--l2", help="Give each vector length 1.")]
Float16 = Annotated[bool, typer.Option("--float16", help="Store half as many bytes.")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line. Exit status: 0 done; 2 the input is at fault (one line, no traceback); 1 a bug."""
    # Read by OpenMP when torch is first imported. Threads that spin at every barrier make the thousands of small
    # steps of training many times slower as soon as anything else wants a processor; sleeping ones do not.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± and … is no reason to fail
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app(args=given, prog_name="visrec")
    except VisrecError as error:
        if debug:
            traceback.print_exc()
        print(f"visrec: {error}", file=sys.stderr)
        sys.exit(2)
    except _Interrupted:
        print("visrec: interrupted. The same command goes on where it stopped.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        if debug:
            traceback.print_exc()
        print(f"visrec: {error.filename}: {error.strerror}.", file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGINT, before)
    sys.exit(0)


class _Interrupted(BaseException):
    """Ctrl-C. Not a KeyboardInterrupt, which typer would swallow without a word."""


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise _Interrupted


def _print_version(value: bool) -> None:
    if value:
        from visrec import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Visual recommendation: from a folder of images and a table of likes to recommendations to look at.

    Any command takes --debug, which shows the traceback of an error.
    """


@app.command()
def demo(
    out: Out = Path("visrec-demo"),
    items: Annotated[int, typer.Option(min=40, help="Pictures in the synthetic catalogue.")] = 2000,
    users: Annotated[int, typer.Option(min=12, help="People.")] = 700,
    seed: Annotated[int, typer.Option(help="Another seed draws another world.")] = 0,
) -> None:
    """Draw a synthetic catalogue, train every model on it, compare them, and write a page of pictures."""
    from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
    from visrec.experiment import Experiment
    from visrec.runs import run

    out = out.resolve()
    if not out.name:
        raise ConfigError(f"--out is {out}; expected a folder to make, such as visrec-demo.")
    data = out.with_name(f"{out.name}-data")
    with _stage("drawing a synthetic catalogue") as progress:
        config = SyntheticConfig(n_items=items, n_users=users, seed=seed)
        write_synthetic(data, config, progress=lambda done, total: progress(done, total, ""))
    experiment = Experiment.from_toml(Path(__file__).with_name("demo.toml"))
    settings = experiment.data.replace(path=str(data))
    found = run(experiment.replace(data=settings, seed=seed), out, stage=_stage)
    _show(found, found.reports)


@app.command()
def run(
    source: Annotated[Path, typer.Argument(help="A data set folder, or an experiment.toml.")],
    out: Out,
    models: Annotated[str | None, typer.Option(help="Comma-separated names from `visrec models`.")] = None,
    extractor: Annotated[
        str | None, typer.Option(help="A name from `visrec extractors`. [default: color]")
    ] = None,
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
    min_rating: Annotated[float | None, typer.Option(help="Keep interactions rated at least this.")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="auto, leave_last_out, by_evaluation, by_time, by_ratio. [default: auto]"),
    ] = None,
    cutoffs: Annotated[str | None, typer.Option(help="The k of the metrics at k. [default: 20,100]")] = None,
    seed: Annotated[int | None, typer.Option(help="For every model that sets none. [default: 0]")] = None,
    data: Annotated[Path | None, typer.Option(help="With an experiment.toml: the data set folder.")] = None,
    allow_missing_images: Annotated[
        bool, typer.Option("--allow-missing-images", help="Keep items without an image, without features.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Extract features, train and evaluate models. Run it again to do only what is missing."""
    from visrec.runs import run as run_experiment

    values = _experiment_values(source, data)
    _apply(values, "data", min_rating=min_rating, split=split)
    _apply(values, "data", missing_images="mask" if allow_missing_images else None)
    _apply(values, "features", extractor=extractor)
    _apply(
        values,
        "features",
        **_features_settings(
            weights, (layer, pool, precision, set_), standardize, (pca, whiten, l2), float16
        ),
    )
    _apply(values, "evaluation", cutoffs=None if cutoffs is None else _whole_numbers(cutoffs))
    if seed is not None:
        values["seed"] = seed
    if models is not None:
        known = values.get("models", {})
        values["models"] = {name: known.get(name, {}) for name in _names(models)}
    if not values.get("models"):
        raise ConfigError("No models are named. Add --models, such as --models popularity,visrank,bpr,vbpr.")
    from visrec.experiment import Experiment

    found = run_experiment(Experiment(**values), out, stage=_stage)
    _show(found, found.reports, as_json=as_json)


@app.command()
def compare_features(
    source: Annotated[Path, typer.Argument(help="A data set folder, or an experiment.toml.")],
    extractors: Annotated[str, typer.Option(help="Comma-separated names from `visrec extractors`.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the comparison.")],
    models: Annotated[
        str | None, typer.Option(help="Models that learn from features. [default: visrank]")
    ] = None,
    weights: WeightsOption = None,
    set_: Set = None,
    min_rating: Annotated[float | None, typer.Option(help="Keep interactions rated at least this.")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="auto, leave_last_out, by_evaluation, by_time, by_ratio. [default: auto]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="For every model that sets none. [default: 0]")] = None,
    queries: Annotated[int, typer.Option(min=0, help="Items whose nearest pictures are shown.")] = 6,
    allow_missing_images: Annotated[
        bool, typer.Option("--allow-missing-images", help="Keep items without an image, without features.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Which features recommend best, beside what their networks do on ImageNet: one table, and a page to look at."""
    from visrec import comparison
    from visrec.experiment import Experiment

    values = _experiment_values(source, None)
    _apply(values, "data", min_rating=min_rating, split=split)
    _apply(values, "data", missing_images="mask" if allow_missing_images else None)
    _apply(values, "features", weights=_weights(weights), options=_pairs(set_ or []) or None)
    values |= {} if seed is None else {"seed": seed}
    known = values.get("models") or {"visrank": {}}
    values["models"] = {name: known.get(name, {}) for name in (_names(models) if models else known)}
    found = comparison.compare_features(
        Experiment(**values), _names(extractors), out, queries=queries, stage=_stage
    )
    _show_comparison(found, out, as_json=as_json)
    comparison.check(found)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Json = False,
) -> None:
    """Evaluate the models of a run again and write its reports afresh."""
    from visrec.runs import Run, evaluate_run

    found = Run.load(folder)
    _show(found, evaluate_run(found, stage=_stage, afresh=True), as_json=as_json)


@app.command()
def tune(
    source: Annotated[Path, typer.Argument(help="A data set folder, or an experiment.toml.")],
    model: Annotated[str, typer.Option(help="A model of `visrec models`, or of the experiment.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the search.")],
    trials: Annotated[int, typer.Option(min=1, help="How many settings are tried, in all.")] = 30,
    metric: Annotated[str, typer.Option(help="What is maximised on the validation part.")] = "ndcg@20",
    extractor: Annotated[
        str | None, typer.Option(help="A name from `visrec extractors`. [default: color]")
    ] = None,
    weights: WeightsOption = None,
    layer: Layer = None,
    pool: PoolOption = None,
    set_: Set = None,
    min_rating: Annotated[float | None, typer.Option(help="Keep interactions rated at least this.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the model and of the search. [default: 0]")] = None,
    data: Annotated[Path | None, typer.Option(help="With an experiment.toml: the data set folder.")] = None,
    as_json: Json = False,
) -> None:
    """Search better settings for a model on the validation part; writes them as an experiment to run."""
    from visrec import tuning
    from visrec.experiment import Experiment

    values = _experiment_values(source, data)
    _apply(values, "data", min_rating=min_rating)
    _apply(values, "features", extractor=extractor)
    _apply(
        values,
        "features",
        **_features_settings(weights, (layer, pool, None, set_), None, (None, False, False), False),
    )
    values |= {} if seed is None else {"seed": seed}
    values["models"] = {model: values.get("models", {}).get(model, {})}
    found = tuning.tune(Experiment(**values), model, out, trials=trials, metric=metric, stage=_stage)
    _show_tuning(found, out, as_json=as_json)


@app.command()
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
    from visrec.runs import Run

    if (user is None) == (history is None):
        raise ConfigError("Give either --user, or --history with the ids of liked items.")
    found = Run.load(folder)
    fitted = found.model(model)
    table = (
        fitted.recommend([user], k)
        if user is not None
        else fitted.recommend_for_history(_names(history or ""), k)
    )
    _show_items(found, table, f"{model} for {user or 'a visitor'}", as_json=as_json)


@app.command()
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
    from visrec.runs import Run

    if (item is None) == (image is None):
        raise ConfigError("Give either --item with an item id, or --image with a file.")
    source = _compared(folder, extractor)
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
            table = neighbours.similar_to_images(features, [_image(image)], k, weights=_weights(weights))
    _show_items(found, table, f"like {item or image}, by {by}", as_json=as_json)


@app.command()
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
    allow_missing_images: Annotated[bool, typer.Option("--allow-missing-images")] = False,
    as_json: Json = False,
) -> None:
    """Turn the images of a data set into features on disk. Run it again to do only what is new or changed."""
    from visrec.data.dataset import load_catalog
    from visrec.experiment import FeaturesConfig
    from visrec.features.extractors import folder_name

    given = _features_settings(
        weights, (layer, pool, precision, set_), standardize, (pca, whiten, l2), float16
    )
    settings = FeaturesConfig(extractor=extractor, **given)
    catalog = load_catalog(data, missing_images="mask" if allow_missing_images else "error")
    target = out or data / "features" / folder_name(extractor)
    with _stage(f"features: {extractor}") as progress:
        features = settings.extract(catalog, target, progress=progress)
    _print_facts({"out": str(target), **_facts_of(features)}, as_json=as_json)


@app.command()
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
        stage=_stage,
    )
    _print_facts(facts, as_json=as_json)


@app.command()
def models(as_json: Json = False) -> None:
    """The models there are, and what each needs and can do."""
    from visrec.models import listing

    rows = listing.models()
    _print_rows(rows if as_json else [listing.row(one) for one in rows], as_json=as_json)
    if not as_json:
        print(listing.MORE)


@app.command()
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
        _print_rows(listing.layers(layers), as_json=as_json)
        return
    rows = listing.extractors(search)
    if not rows:
        raise ConfigError(f"No extractor's name contains '{search}'. `visrec extractors ''` lists them all.")
    _print_rows([vars(one) if as_json else listing.row(one) for one in rows], as_json=as_json)
    if not as_json and search is None:
        print(listing.MORE)


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="One to make, such as synthetic.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to make it.")] = None,
    items: Annotated[int, typer.Option(min=40)] = 2000,
    users: Annotated[int, typer.Option(min=12)] = 700,
    seed: Annotated[int, typer.Option()] = 0,
    as_json: Json = False,
) -> None:
    """The named data sets there are; with a name and --out, make one."""
    from visrec import registry

    if name is None:
        rows = [
            {
                "data set": one,
                "what": (registry.resolve("datasets", one).__doc__ or "").strip().splitlines()[0],
            }
            for one in registry.names("datasets")
        ]
        _print_rows(rows, as_json=as_json)
        return
    write = registry.resolve("datasets", name)
    if out is None:
        raise ConfigError(f"Where to? Add --out FOLDER, such as: visrec datasets {name} --out {name}")
    from visrec.data.datasets.synthetic import SyntheticConfig

    with _stage(f"making {name}") as progress:
        config = SyntheticConfig(n_items=items, n_users=users, seed=seed)
        write(out, config, progress=lambda done, total: progress(done, total, ""))
    _print_facts({"out": str(out), "items": items, "users": users, "seed": seed}, as_json=as_json)


@app.command()
def convert(
    format: Annotated[str, typer.Argument(help="tutorial: the files of the ACM IUI 2021 tutorial.")],  # noqa: A002
    source: Annotated[Path, typer.Argument(help="A folder of such files, or one of them.")],
    data: Annotated[Path, typer.Argument(help="The data set folder to make.")],
    as_json: Json = False,
) -> None:
    """Make a data set, features and models of the files of another program. Nothing in them is run."""
    from visrec import registry

    make = registry.resolve("formats", format)
    with _stage(f"converting {source}") as progress:
        made = make(source, data, progress=progress)
    if as_json:
        print(
            json.dumps(
                {"out": str(data), "files": made.files, "notes": made.notes}, indent=2, ensure_ascii=False
            )
        )
        return
    _print_rows(made.files, as_json=False)
    print("\n".join([*made.notes, f"out: {data}"]))


# ---- parsing ---------------------------------------------------------------------------------------


def _experiment_values(source: Path, data: Path | None) -> dict[str, Any]:
    """The settings that a data set folder or an experiment file stands for, before options are applied."""
    if source.suffix == ".toml":
        from visrec.experiment import read_experiment

        return read_experiment(source, data=data)
    if data is not None:
        raise ConfigError(f"--data goes with an experiment.toml; {source} is taken for the data set itself.")
    return {"data": {"path": str(source)}}


def _apply(values: dict[str, Any], table: str, **options: object) -> None:
    """Lay the options that were given over one table of the settings."""
    given = {key: value for key, value in options.items() if value is not None}
    if given:
        values.setdefault(table, {}).update(given)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _features_settings(
    weights: list[str] | None,
    options: tuple[str | None, str | None, str | None, list[str] | None],
    standardize: bool | None,
    steps: tuple[int | None, bool, bool],
    float16: bool,
) -> dict[str, Any]:
    """The settings of features that were given: keys of `FeaturesConfig`."""
    layer, pool, precision, pairs = options
    pca, whiten, l2 = steps
    named = {"layer": layer, "pool": pool, "precision": precision}
    chosen = {key: value for key, value in named.items() if value is not None} | _pairs(pairs or [])
    given = {
        "weights": _weights(weights),
        "options": chosen or None,
        "standardize": standardize,
        "pca": pca,
        "whiten": whiten or None,
        "l2": l2 or None,
        "dtype": "float16" if float16 else None,
    }
    return {key: value for key, value in given.items() if value is not None}


def _pairs(words: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` words; a value with commas is a list."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set is '{word}'; expected KEY=VALUE, such as --set input_size=224.")
        found[key.strip()] = [one.strip() for one in value.split(",")] if "," in value else value.strip()
    return found


def _weights(words: list[str] | None) -> Any:
    """`--weights`: one for all, or a table by extractor; None where it was not given."""
    if not words:
        return None
    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    if not pairs and len(words) == 1:
        return words[0]
    if len(pairs) < len(words):
        plain = next(word for word in words if word not in pairs)
        raise ConfigError(f"--weights {plain}: with several, say whose each is: --weights EXTRACTOR={plain}")
    return {name: value for name, _, value in (word.partition("=") for word in pairs)}


def _image(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise ConfigError(f"--image {path}: no such file.")
    return path


def _compared(folder: Path, extractor: str | None) -> Run | Features:
    """What a folder is: a run, or features alone."""
    from visrec.features.extractors import folder_name
    from visrec.features.features import META, Features
    from visrec.runs import Run

    if extractor is not None:
        folder = folder / folder_name(extractor)
    if (folder / META).is_file():
        return Features.load(folder)
    if (folder / "experiment.toml").is_file():
        return Run.load(folder)
    raise RunError(f"{folder}: {_what_else(folder)}")


def _what_else(folder: Path) -> str:
    """What a folder is that is neither a run nor features, and what to type."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        return f"{what}; expected a run folder (visrec run), or a folder of features (visrec extract)."
    if (folder / "comparison.json").is_file():
        return "is a comparison of features. Say by which extractor: --extractor NAME."
    tables = (f"{stem}.{kind}" for stem in ("interactions", "items", "images") for kind in ("csv", "parquet"))
    if (folder / "images").is_dir() or any((folder / name).is_file() for name in tables):
        return (
            f"is a data set, neither a run nor features. First: visrec extract {folder} --extractor NAME, "
            f"then: visrec similar {folder / 'features' / 'NAME'}"
        )
    return "is neither a run folder (visrec run) nor a folder of features (visrec extract)."


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _names(text)]
    except ValueError:
        raise ConfigError(f"--cutoffs is '{text}'; expected whole numbers such as 20,100.") from None


# ---- rendering -------------------------------------------------------------------------------------


@contextmanager
def _stage(title: str) -> Iterator[Progress]:
    """A progress bar on a terminal; a line when done elsewhere. On stderr, so that stdout stays for results."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    start = time.perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    last = ""
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None, note="")

        def advance(done: int, total: int, note: str) -> None:
            nonlocal last
            last = note
            bars.update(task, completed=done, total=total, note=note)

        yield advance
    taken = time.perf_counter() - start
    console.print(f"{title}: {taken:.1f} s{'  ' + last if last else ''}", highlight=False, markup=False)


def _console() -> Console:
    """As wide as the terminal; where there is none, wide enough for all columns."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=140)


def _show(found: Run, reports: dict[str, Report], *, as_json: bool = False) -> None:
    """The comparison as a table, or as JSON."""
    if as_json:
        print((found.path / "report.json").read_text(encoding="utf-8"), end="")
        return
    from visrec.evaluation.leaderboard import leaderboard

    console = _console()
    for note in found.data.notes:
        console.print(note, highlight=False, markup=False)
    facts = found.provenance["models"]
    seconds = {name: facts[name]["seconds"] for name in reports}
    console.print(leaderboard(reports, seconds=seconds).to_rich())
    n_users = next(iter(reports.values())).per_user.height
    console.print(
        f"* best of its column. {n_users:,} users; all items that they had not seen were ranked; ± half the 95 % "
        f"interval over users.\nPictures: {found.path / 'report.html'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _show_comparison(found: Comparison, out: Path, *, as_json: bool) -> None:
    """The table of extractors, what it says of ImageNet, and where the page is."""
    if as_json:
        print((out / "comparison.json").read_text(encoding="utf-8"), end="")
        return
    console = _console()
    console.print(found.to_rich())
    lines = [f"{model}: {found.sentence(model)}" for model in found.models]
    lines.append(
        f"* best of its model, ≈ not to be told from it (nDCG); ± half the 95 % interval over "
        f"{found.n_users:,} users."
    )
    lines += found.notes
    for line in [*lines, f"{out / 'comparison.html'}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _show_tuning(found: Tuning, out: Path, *, as_json: bool) -> None:
    """The best trials, and what to type next."""
    rows = (
        found.trials.head(found.trials.height if as_json else 10).rename({"value": found.metric}).to_dicts()
    )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    shown = [{key: f"{v:.4g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    _print_rows(
        shown, title=f"the best of {found.trials.height} trials, on the validation part", as_json=False
    )
    print(f"Trial 0 has the settings as given. Next: visrec run {out / 'best.toml'} --out RUN")


def _show_items(found: Run | None, table: pl.DataFrame, title: str, *, as_json: bool) -> None:
    """A list of items with titles, or as JSON."""
    import polars as pl

    try:
        catalog = None if found is None else found.data.catalog
    except VisrecError as error:  # the lists need no data set, only the titles do
        print(f"visrec: no titles: {error}", file=sys.stderr)
        catalog = None
    if catalog is not None:
        titles = [catalog.title(int(index)) for index in catalog.items.indices(table["item_id"].to_list())]
        table = table.with_columns(pl.Series("title", titles, dtype=pl.String))
    rows = table.to_dicts()
    if not as_json:
        rows = [{key: f"{v:.4f}" if key == "score" else v for key, v in row.items()} for row in rows]
    _print_rows(rows, title=title, as_json=as_json)


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool, title: str | None = None) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, key in enumerate(rows[0] if rows else []):
        table.add_column(key, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


def _facts_of(features: Features) -> dict[str, Any]:
    """What is said of features that were extracted."""
    failures = features.failures.sort("item_id").to_dicts()
    return {
        "items": len(features.items),
        "shape": "x".join(map(str, features.values.shape[1:])),
        "dtype": features.values.dtype.name,
        "steps": ", ".join(features.provenance["steps"]) or "none",
        "missing": len(failures),
        "digest": features.digest,
        "failures": failures,
    }


def _print_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, list):
            for row in value:
                print(f"  {', '.join(str(cell) for cell in row.values())}")
        else:
            print(f"{key}: {value}")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


if __name__ == "__main__":
    main()
