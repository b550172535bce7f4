"""Build the phone's program: `python -m sqbert_cli.phone.native.build`, with `ziglang` installed.

The same sources and compiler give the same bytes, wherever they lie. `build.json` says what the program was built from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "src"
TARGETS = {  # plain armv8-a runs on every 64-bit phone; its instructions are ordered for the cores of the Pixel 3
    "aarch64": ("-target", "aarch64-linux-musl", "-mtune=cortex_a75"),
    "x86_64": ("-target", "x86_64-linux-musl"),
}
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O3", "-static", "-s", "-Wall", "-Wextra", "-Wno-psabi")
ZIG = (sys.executable, "-m", "ziglang")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def program_name(machine: str) -> str:
    return f"sqbert-phone-{machine}"


def build(machine: str = "aarch64", folder: Path = HERE) -> Path:
    """Compile the program for `machine` into `folder`, and say in `build.json` how; return the program."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder.resolve() / program_name(machine)
    sources = sorted(path.name for path in SOURCES.glob("*.c"))
    command = ["cc", *TARGETS[machine], *FLAGS, *sources]
    subprocess.run([*ZIG, *command, "-o", str(program)], cwd=SOURCES, check=True)
    about = {
        "compiler": f"zig {_zig_version()}",
        "command": ["zig", *command, "-o", program.name],
        "sources": {path.name: sha256(path) for path in sorted(SOURCES.glob("*.[ch]"))},
        "sha256": sha256(program),
    }
    (folder / "build.json").write_text(json.dumps(about, indent=2) + "\n")
    return program


def _zig_version() -> str:
    return subprocess.run([*ZIG, "version"], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the phone's program with zig.")
    parser.add_argument("--machine", choices=TARGETS, default="aarch64")
    parser.add_argument("--folder", type=Path, help="where the program and build.json go; default: the package")
    options = parser.parse_args()
    if options.folder is None and options.machine != "aarch64":
        parser.error("the package holds the arm64 program: name another --folder")
    print(build(options.machine, options.folder or HERE))


if __name__ == "__main__":
    main()
