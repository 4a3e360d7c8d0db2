"""Commands that look at a data set: check, fix, stats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visrec.cli.data_rendering import show_diagnosis, show_mended, show_statistics
from visrec.cli.options import AllowMissingImages, Json, MinRating
from visrec.cli.parsing import names
from visrec.cli.rendering import stage

_Data = Annotated[Path, typer.Argument(help="A data set folder.")]


def check(
    data: _Data,
    min_rating: MinRating = None,
    features: Annotated[
        list[Path] | None, typer.Option(help="A folder of features meant for it; repeat for several.")
    ] = None,
    recompute: Annotated[
        int,
        typer.Option(
            min=0, help="Make so many vectors of each again with the extractor they name, and compare."
        ),
    ] = 0,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Look into the pictures.")] = True,
    allow_missing_images: AllowMissingImages = False,
    as_json: Json = False,
) -> None:
    """What is wrong with a data set, what it means, what mends it. Exit status 2 where there are errors."""
    from visrec.checks.checkup import check as check_dataset

    with stage(f"checking {data}") as progress:
        found = check_dataset(
            data, min_rating=min_rating, features=features or (), recompute=recompute, images=images,
            allow_missing_images=allow_missing_images, progress=progress,
        )  # fmt: skip
    show_diagnosis(found, as_json=as_json)
    raise typer.Exit(2 if found.has_errors else 0)


def fix(
    data: _Data,
    out: Annotated[Path, typer.Argument(help="The folder to make; the original stays as it is.")],
    only: Annotated[
        str | None, typer.Option(help="Mend these codes alone, such as future-time,cmyk-image.")
    ] = None,
    also: Annotated[
        str | None,
        typer.Option(help="Mend these besides: they change what the data say, as exact-duplicate does."),
    ] = None,
    allow_missing_images: AllowMissingImages = False,
    as_json: Json = False,
) -> None:
    """A mended copy of a data set. Exit status 2 where errors are left that nothing can mend."""
    from visrec.checks.mending import fix as fix_dataset

    with stage(f"mending {data}") as progress:
        made = fix_dataset(
            data, out, only=None if only is None else names(only), also=names(also or ""),
            allow_missing_images=allow_missing_images, progress=progress,
        )  # fmt: skip
    show_mended(made, as_json=as_json)
    raise typer.Exit(2 if made.left.has_errors else 0)


def stats(
    data: _Data,
    min_rating: MinRating = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots and pictures.")] = None,
    card: Annotated[Path | None, typer.Option(help="Write a card of the data set, as Markdown.")] = None,
    as_json: Json = False,
) -> None:
    """A data set in numbers: sizes, density, who takes how much, what is taken how often, when."""
    from visrec.data.statistics import Statistics, card_of, load_counted

    with stage(f"reading {data}") as progress:
        found = load_counted(data, min_rating=min_rating, progress=progress)
    statistics = Statistics.of(found)
    if card is not None:
        from visrec.files import write_text

        write_text(card, card_of(statistics, name=data.resolve().name, notes=found.notes))
    if html is not None:
        from visrec.evaluation.statistics_page import write_statistics_page

        write_statistics_page(html, statistics, found, title=data.resolve().name)
    if as_json:
        print(json.dumps(statistics.as_dict(), indent=2, ensure_ascii=False))
        return
    show_statistics(statistics, found.notes, [path for path in (html, card) if path is not None])
