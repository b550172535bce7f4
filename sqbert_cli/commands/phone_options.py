"""Options of `sqbert bench --device`."""

from __future__ import annotations

from typing import Annotated

import typer

from sqbert_cli.phone.course import RuntimeChoice

PHONE = "On a phone"

Device = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PHONE, metavar="pixel3|ssh:HOST", help="Instead: an attached Pixel 3, or arm64 Linux by ssh."
    ),
]
Runtime = Annotated[
    RuntimeChoice | None,
    typer.Option(
        rich_help_panel=PHONE,
        help="Our network in Termux's PyTorch, or our own C program; auto: Termux's where it works.",
    ),
]
Serial = Annotated[str | None, typer.Option(rich_help_panel=PHONE, help="Which phone, as `adb devices` says.")]
AnyDevice = Annotated[
    bool, typer.Option("--any-device", rich_help_panel=PHONE, help="Measure a phone that is no Pixel 3.")
]
Cooldown = Annotated[
    float | None,
    typer.Option(rich_help_panel=PHONE, min=0, help="Seconds to wait at most for a warm phone; default: 300."),
]
Force = Annotated[
    bool, typer.Option("--force", rich_help_panel=PHONE, help="Measure a warm or empty phone; the result says so.")
]
Check = Annotated[
    bool, typer.Option("--check", rich_help_panel=PHONE, help="All but the measurement: is everything there?")
]
Setup = Annotated[bool, typer.Option("--setup", rich_help_panel=PHONE, help="Only show what to type in Termux once.")]
Purge = Annotated[
    bool, typer.Option("--purge", rich_help_panel=PHONE, help="Leave nothing on the phone, no weights either.")
]
