"""Commands for other people's files: datasets, formats, convert, export, fetch-images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visrec.cli.data_rendering import show_conversion, show_dataset, show_options
from visrec.cli.options import Json, MinRating
from visrec.cli.parsing import pairs
from visrec.cli.rendering import print_facts, print_rows, stage
from visrec.errors import ConfigError

_Options = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="An option of the format; `visrec formats NAME` lists them."
    ),
]


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="One of them: its size, licence, citation, files.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to draw the synthetic one.")] = None,
    items: Annotated[int, typer.Option(min=40, help="Of the synthetic one.")] = 2000,
    users: Annotated[int, typer.Option(min=12, help="Of the synthetic one.")] = 700,
    seed: Annotated[int, typer.Option(help="Of the synthetic one.")] = 0,
    as_json: Json = False,
) -> None:
    """The published data sets that `visrec convert` reads; with a name, all about one. Draws the synthetic one."""
    from visrec import registry
    from visrec.data import listing

    if name is None and out is not None:
        raise ConfigError(f"--out draws the synthetic one: visrec datasets synthetic --out {out}")
    if name is None:
        print_rows(listing.datasets(), as_json=as_json)
        return
    if out is None:
        show_dataset(registry.resolve("datasets", name), as_json=as_json)
        return
    if name != "synthetic":
        raise ConfigError(f"{name} is not drawn but read from its files: visrec convert {name} SOURCE {out}")
    from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic

    with stage(f"making {name}") as progress:
        config = SyntheticConfig(n_items=items, n_users=users, seed=seed)
        write_synthetic(out, config, progress=lambda done, total: progress(done, total, ""))
    print_facts({"out": str(out), "items": items, "users": users, "seed": seed}, as_json=as_json)


def formats(
    name: Annotated[str | None, typer.Argument(help="One of them: its options.")] = None,
    as_json: Json = False,
) -> None:
    """The formats of other programs that `visrec convert` reads and `visrec export` writes."""
    if name is None:
        from visrec.data import listing

        print_rows(listing.formats(), as_json=as_json)
    else:
        from visrec.converting.conversion import listed_options

        show_options(name, listed_options(name), as_json=as_json)


def convert(
    name: Annotated[
        str, typer.Argument(help="A format (`visrec formats`) or a data set (`visrec datasets`).")
    ],
    source: Annotated[Path, typer.Argument(help="The folder where the files lie, or one of them.")],
    data: Annotated[Path, typer.Argument(help="The data set folder to make.")],
    options: _Options = None,
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Copy picture files instead of pointing to where they lie.")
    ] = False,
    download: Annotated[
        bool,
        typer.Option("--download", help="Download what is published at a stable address into SOURCE first."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a data set folder of other people's files. Nothing in them is run or changed."""
    from visrec.converting import conversion

    with stage(f"converting {source}") as progress:
        made = conversion.convert(
            name, source, data, options=pairs(options or []), copy_images=copy_images, download=download,
            progress=progress,
        )  # fmt: skip
    show_conversion(made, data, as_json=as_json, following=f"visrec check {data}")


def export(
    name: Annotated[str, typer.Argument(help="A format that is written (`visrec formats`).")],
    data: Annotated[Path, typer.Argument(help="A data set folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    features: Annotated[
        list[Path] | None, typer.Option(help="A folder of features to bring along; repeat for several.")
    ] = None,
    min_rating: MinRating = None,
    options: _Options = None,
    as_json: Json = False,
) -> None:
    """Write a data set folder in the format of another program."""
    from visrec.converting import conversion

    with stage(f"writing {out}") as progress:
        made = conversion.export(
            name, data, out, features=features or [], min_rating=min_rating,
            options=pairs(options or []), progress=progress,
        )  # fmt: skip
    show_conversion(made, out, as_json=as_json)


def fetch_images(
    data: Annotated[Path, typer.Argument(help="A data set folder that lists addresses of pictures.")],
    column: Annotated[
        str | None,
        typer.Option(
            help="The column of its items. [default: url of image_urls.csv if there, else image_url]"
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests a second to one host, at most.")] = 2.0,
    retries: Annotated[int, typer.Option(help="Ask so often again where a failure may pass.")] = 3,
    timeout: Annotated[
        float, typer.Option(help="Seconds without a byte until an answer is given up.")
    ] = 30.0,
    user_agent: Annotated[
        str | None,
        typer.Option(help="What hosts are told of you, such as: my-lab/1.0 (mailto:me@example.org)"),
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Refuse larger answers.")] = 32 << 20,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again also what failed for good.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Ask also machines of private networks and this one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch the pictures that a data set lists by address, politely; what is there is not asked for again.

    Exit status 0 also where addresses failed: image-failures.csv lists them, and --json tells how many.
    """
    from visrec.data.downloads.images import fetch_images as fetch

    with stage(f"fetching pictures for {data}") as progress:
        found = fetch(
            data, column=column, rate=rate, retries=retries, timeout=timeout, user_agent=user_agent,
            max_bytes=max_bytes, retry_failed=retry_failed, allow_private=allow_private, progress=progress,
        )  # fmt: skip
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    print_rows([{"pictures": what, "items": n} for what, n in found.counts().items()], as_json=False)
    if found.n_failed:
        print_rows([{"failure": why, "addresses": n} for why, n in found.reasons().items()], as_json=False)
    print(found.summary())
