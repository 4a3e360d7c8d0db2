"""Commands for researchers who run a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="A study with participants: check its file, write its tables.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The study, as TOML.")],
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder that is to serve it.")],
) -> None:
    """Say whether a run can serve a study, and which conditions it has."""
    from visrec.serving.engine import Engine
    from visrec.serving.study import check_models
    from visrec.serving.study_config import StudyConfig

    study = StudyConfig.from_toml(file)
    check_models(study, Engine.open(folder))
    for one in study.study.conditions:
        print(one.name)


@app.command()
def export(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="The run folder that served it, or the database's URL.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder of the tables.")],
    name: Annotated[
        str | None, typer.Option("--study", help="Its name. [default: the only one there is]")
    ] = None,
) -> None:
    """Write the tables of a study as CSV: items (a row for each shown one), participants, shown, events, answers."""
    from visrec.feedback.exports import export_study
    from visrec.feedback.store import Store
    from visrec.feedback.studies import Studies

    with Store.open(source, create=False) as store:
        for path in export_study(store, name or Studies(store).only(), out):
            print(path)
