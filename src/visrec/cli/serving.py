"""The command that serves a run: serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visrec.cli.run_rendering import show_served

if TYPE_CHECKING:
    from visrec.serving.settings import ServiceSettings

Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0: any that is free.")]


def serve(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run folder, or a link to one, which may point elsewhere later."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Port = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VISREC_TOKEN",
            show_envvar=False,
            help="What programs must show to write, and other machines to read; better in the environment, as "
            "VISREC_TOKEN, where no list of processes shows it.",
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Keep nothing: no likes, no events.")
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(help="The URL of the database of feedback. [default: feedback.db in the run folder]"),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="A file that describes a study.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model that is taken where none is named. [default: the best that can]"),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name by which the service is reached too; repeat for several."),
    ] = None,
) -> None:
    """Serve a run as a web page and a REST service."""
    from visrec.serving.settings import ServiceSettings

    settings = ServiceSettings(
        host=host,
        port=port,
        token=token,
        read_only=read_only,
        database=database,
        study=study,
        model=model,
        allowed_hosts=tuple(names or ()),
    )
    serve_run(folder, settings)


def serve_run(folder: Path, settings: ServiceSettings, **how: Any) -> None:
    """Serve a run until somebody ends it."""
    import logging

    from visrec.serving.app import create_app
    from visrec.serving.server import serve as serve_app

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    app = create_app(folder, settings)
    serve_app(app, settings, begun=lambda address: show_served(app.state.service, address), **how)
