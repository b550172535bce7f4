"""The compiled shims, for this machine and for arm64."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from .debian import ARM64, cache, keep, unpacked

SOURCES = Path(__file__).parent / "shims/source"
LIBRARY = ("gcc", "-O1", "-fPIC", "-shared")


def shims() -> Path:
    """A folder with all of them, compiled when the sources change."""
    sources = sorted(SOURCES.glob("*.c"))
    identity = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = cache() / f"shims-{identity[:16]}"
    if folder.is_dir():
        return folder
    with TemporaryDirectory(dir=cache()) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        for command in _commands(made):
            subprocess.run(command, check=True, capture_output=True, text=True)
        return keep(folder, made)


def _commands(made: Path) -> list[list[str | Path]]:
    root = unpacked(ARM64)
    tcc = ["qemu-aarch64-static", "-L", root, root / "usr/bin/tcc", "-shared", "-nostdlib"]
    return [
        [*LIBRARY, "-fno-builtin", "-o", made / "props-amd64.so", SOURCES / "props.c"],
        [*tcc, "-o", made / "props-arm64.so", SOURCES / "props.c"],
        [*LIBRARY, "-o", made / "login.so", SOURCES / "login.c"],
        [*LIBRARY, "-o", made / "self.so", SOURCES / "self.c"],
        [*LIBRARY, "-o", made / "empty.so", SOURCES / "empty.c"],
        ["gcc", "-O1", "-o", made / "run-as", SOURCES / "run_as.c"],
    ]
