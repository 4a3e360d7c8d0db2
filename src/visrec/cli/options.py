"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

# Which data, and how: the same options wherever an experiment is made of words.
ExtractorOption = Annotated[
    str | None, typer.Option("--extractor", help="A name from `visrec extractors`. [default: color]")
]
FeaturesOption = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="A folder of features that are there already (visrec extract, visrec convert), instead of an extractor.",
    ),
]
MinRating = Annotated[float | None, typer.Option(help="Keep interactions rated at least this.")]
EventsOption = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="RUN|FILE|URL",
        help="Fold in the feedback that the service of a run collected (its folder, or the database).",
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="auto, leave_last_out, by_evaluation, by_time, by_ratio. [default: auto]"),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", help="Who is asked what: full, temporal, sampled, tutorial. [default: full]"),
]
UsersOption = Annotated[
    int | None,
    typer.Option("--users", min=1, help="Evaluate only so many users, drawn at random: a quick look."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="With an experiment.toml: the data set folder.")
]
AllowMissingImages = Annotated[
    bool, typer.Option("--allow-missing-images", help="Keep items without an image, without features.")
]
