"""The application: its commands, and how errors of any kind are told.

Exit codes: 0 done; 1 an error that lightloom explains; 2 a wrong command line; 3 a model that could not be
captured or compiled. Results go to standard output (with ``--json`` one JSON value and nothing else, also of an error),
progress and messages to standard error.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..runtime.errors import CaptureError, CompileError, LightloomError
from .answers import say
from .compile import compile_command
from .demo import demo
from .run import run
from .schedule import schedule_command
from .serve import serve
from .sweep import sweep
from .targets import targets_command
from .views import dump, explain, report

EXIT_ERROR, EXIT_MODEL = 1, 3

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises of a wrong command line: its own class or click's, by its version."""


class Commands(TyperGroup):
    """The commands; errors become a message, an exit code and, with ``--json``, a JSON value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[__name__] = "--json" in args
        with self._told(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with self._told(ctx):
            return super().invoke(ctx)

    @contextmanager
    def _told(self, ctx: Any) -> Iterator[None]:
        try:
            yield
        except LightloomError as error:
            say(f"error: {error}", style="red")
            attempts = list(error.attempts) if isinstance(error, CaptureError) else []
            self._as_json(ctx, type(error).__name__, str(error), **({"attempts": attempts} if attempts else {}))
            raise typer.Exit(EXIT_MODEL if isinstance(error, CaptureError | CompileError) else EXIT_ERROR) from error
        except UsageError as error:  # typer goes on to tell it, with the usage
            self._as_json(ctx, "UsageError", error.format_message())  # type: ignore[attr-defined]
            raise

    def _as_json(self, ctx: Any, kind: str, message: str, **more: Any) -> None:
        if ctx.meta[__name__]:
            print(json.dumps({"error": {"type": kind, "message": message, **more}}))


app = typer.Typer(
    name="lightloom",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Compile PyTorch and ONNX models to tile programs for photonic chips, and simulate them.",
    epilog="Exit codes: 0 done, 1 an error that lightloom explains, 2 a wrong command line, "
    "3 a model that could not be captured or compiled.",
)
app.command("compile")(compile_command)
app.command()(run)
app.command()(explain)
app.command()(report)
app.command("schedule")(schedule_command)
app.command()(dump)
app.command("targets")(targets_command)
app.command()(sweep)
app.command()(serve)
app.command()(demo)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"lightloom {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    """Entry point of the ``lightloom`` command."""
    plain = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if category.__module__.startswith("lightloom."):
            say(f"warning: {message}", style="yellow")  # where it comes from is of no use in a shell
        else:
            plain(message, category, *rest, **more)

    warnings.showwarning = show
    app(prog_name="lightloom")
