"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

Device = Annotated[DeviceName, typer.Option(help="Where to compute; auto: cuda, else mps, else cpu.")]
Dtype = Annotated[DtypeName, typer.Option(help="Precision of the products.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; default: one for each core.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Output = Annotated[Path, typer.Option(help="Folder of the new model.", file_okay=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run in --output stopped.")]
Seed = Annotated[int, typer.Option(help="Same seed, same data, same bits.")]
SaveDtype = Annotated[
    Literal["float32", "float16"], typer.Option(help="Precision of the weights on disk; float16 halves the file.")
]
