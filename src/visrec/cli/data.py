"""Commands that make data sets: datasets, convert, fetch-images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visrec.cli.options import Json
from visrec.cli.rendering import print_facts, print_rows, stage
from visrec.errors import ConfigError


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
        print_rows(rows, as_json=as_json)
        return
    write = registry.resolve("datasets", name)
    if out is None:
        raise ConfigError(f"Where to? Add --out FOLDER, such as: visrec datasets {name} --out {name}")
    from visrec.data.datasets.synthetic import SyntheticConfig

    with stage(f"making {name}") as progress:
        config = SyntheticConfig(n_items=items, n_users=users, seed=seed)
        write(out, config, progress=lambda done, total: progress(done, total, ""))
    print_facts({"out": str(out), "items": items, "users": users, "seed": seed}, as_json=as_json)


def convert(
    format: Annotated[str, typer.Argument(help="tutorial: the files of the ACM IUI 2021 tutorial.")],  # noqa: A002
    source: Annotated[Path, typer.Argument(help="A folder of such files, or one of them.")],
    data: Annotated[Path, typer.Argument(help="The data set folder to make.")],
    as_json: Json = False,
) -> None:
    """Make a data set, features and models of the files of another program. Nothing in them is run."""
    from visrec import registry

    make = registry.resolve("formats", format)
    with stage(f"converting {source}") as progress:
        made = make(source, data, progress=progress)
    if as_json:
        print(
            json.dumps(
                {"out": str(data), "files": made.files, "notes": made.notes}, indent=2, ensure_ascii=False
            )
        )
        return
    print_rows(made.files, as_json=False)
    print("\n".join([*made.notes, f"out: {data}"]))


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
