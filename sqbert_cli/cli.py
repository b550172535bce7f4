"""The app: its commands behind one error boundary."""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sqbert_cli import __version__
from sqbert_cli.commands.bench import bench
from sqbert_cli.commands.classify import classify
from sqbert_cli.commands.embed import embed
from sqbert_cli.commands.evaluate import evaluate
from sqbert_cli.commands.fill_mask import fill_mask
from sqbert_cli.commands.finetune import finetune
from sqbert_cli.commands.models import models
from sqbert_cli.commands.ner import ner
from sqbert_cli.commands.options import INPUT, LABELS
from sqbert_cli.commands.pretrain import pretrain
from sqbert_cli.commands.qa import qa
from sqbert_cli.console import forget, show_error
from sqbert_cli.errors import FULL, SqbertError, is_out_of_memory
from sqbert_cli.process import wait_briefly

INTERRUPTED = 130
YOUNG = 50_000
"""Objects between two searches for garbage: importing torch makes 170,000 that stay."""
HINTS = {
    errno.ENOSPC: "free some space, or name another place; nothing is half-written",
    errno.EDQUOT: "your share of the disk is used up; nothing is half-written",
    errno.EROFS: "nothing can be written there; name another place",
    errno.EACCES: "it is not yours to use; name another place",
}


_interrupted: list[int] = []


def _interrupt(number: int, frame: object) -> None:
    _interrupted.append(number)
    raise KeyboardInterrupt


@contextmanager
def boundary() -> Iterator[None]:
    """Show what the user can mend; a bug keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        status = INTERRUPTED if _interrupted else _told(error)  # some module may have taken the interrupt for a fault
        if status is None:
            raise
        raise typer.Exit(status) from None


def _told(error: Exception) -> int | None:
    """Show what was wrong. Returns the status to end with; None for what is not to be told so."""
    match error:
        case SqbertError():
            show_error(error)
            return error.status
        case BrokenPipeError():  # the reader has seen enough, as `head` does
            forget(sys.stdout)
            return 0
        case RuntimeError() if is_out_of_memory(error):
            reason = str(error).partition(". ")[0] or type(error).__name__
            show_error(SqbertError(f"no room in memory: {reason}", FULL))
            return 1
        case OSError():  # a full disk, a folder that is not ours: nothing of ours is half-written
            reason, place = error.strerror or str(error), error.filename
            problem = SqbertError(f"{reason}: `{place}`", HINTS.get(error.errno or 0)) if place else SqbertError(reason)
            show_error(problem)
            forget(sys.stdout)
            return 1
    return None


class Command(TyperCommand):
    """A command that does not forget the first of two inputs, or of two lists of names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option in self.params:
            if order.count(option) > 1 and not getattr(option, "multiple", True):
                if (option.metavar or "").endswith(",..."):
                    raise typer.BadParameter(f"{option.opts[0]} is given twice; put a comma between the names", ctx)
                if getattr(option, "rich_help_panel", None) in (INPUT, LABELS):
                    raise typer.BadParameter(f"{option.opts[0]} is given twice, where one is read", ctx)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with boundary():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        with boundary():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)
for command in (classify, ner, qa, fill_mask, embed, finetune, evaluate, pretrain, bench):
    app.command(cls=Command)(command)
app.add_typer(models, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sqbert {__version__}")
        raise typer.Exit


@app.callback()
def sqbert(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run and train small text models: one compact SqueezeBERT, weights included."""


def main() -> None:
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    binary = getattr(sys.stdout, "buffer", None)
    if isinstance(binary, io.RawIOBase):  # PYTHONUNBUFFERED: it may write half, and say nothing
        sys.stdout = open(sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has not our characters still shows the rest
            stream.reconfigure(errors="replace")
    if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(signal.SIGINT, _interrupt)
    gc.set_threshold(YOUNG)
    wait_briefly()
    try:
        app(prog_name="sqbert")
    except KeyboardInterrupt:  # before the command had begun
        sys.exit(INTERRUPTED)
    finally:
        gc.freeze()  # what is left ends with the process
