"""The command line: parse, call, render. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from visrec.cli import checks, data, features, models, runs, serving, studies
from visrec.errors import VisrecError

app = typer.Typer(
    name="visrec",
    help="Visual recommendation: from a folder of images and a table of likes to recommendations to look at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line. Exit status: 0 done; 2 the input is at fault (one line, no traceback); 1 a bug."""
    # Read by OpenMP when torch is first imported. Threads that spin at every barrier make the thousands of small
    # steps of training many times slower as soon as anything else wants a processor; sleeping ones do not.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± and … is no reason to fail
    # What is made while the commands load is not garbage, and at the end nobody needs the memory back: looking for
    # garbage would be a fifth of the time of a short command. `_options` lets it begin.
    collecting = gc.isenabled()
    gc.disable()
    atexit.register(gc.disable)
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
        gc.unfreeze()
        if collecting:
            gc.enable()
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
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Visual recommendation: from a folder of images and a table of likes to recommendations to look at.

    Any command takes --debug, which shows the traceback of an error.
    """
    gc.freeze()  # the commands themselves stay
    gc.enable()


for _command in (  # in the order of `visrec --help`
    runs.demo,
    runs.run,
    serving.serve,
    features.compare_features,
    runs.evaluate,
    runs.compare,
    runs.tune,
    runs.recommend,
    runs.similar,
    features.extract,
    features.triples,
    checks.check,
    checks.fix,
    checks.stats,
    models.models,
    features.extractors,
    data.datasets,
    data.formats,
    data.convert,
    data.export,
    data.fetch_images,
):
    app.command()(_command)
app.command("map")(runs.draw_map)
app.add_typer(studies.app, name="study")
