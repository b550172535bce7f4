"""What of this machine the overlay phone shows, and whether it can have phones at all."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = ("adb", "ssh", "sshd", "ssh-keygen", "qemu-aarch64-static", "gcc", "mksh", "toybox", "nsenter", "apt-get")
NOT_WRITABLE = ("/tmp", "/var/tmp")  # Android has no such folders
NOT_IN_TERMUX = ("sqbert_cli", "safetensors", "tokenizers", "transformers", "huggingface_hub", "datasets")


def why_not() -> str | None:
    """What is missing here for the phones, if anything is."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the phones need Linux on x86-64"
    if os.geteuid() != 0:
        return "the phones need root, for namespaces and mounts"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    return f"the phones need {', '.join(missing)}" if missing else None


def python_files(is_shown: bool) -> dict[str, object]:
    """For `roots.make`: this Python, the folders that lead to it, the packages that Termux has not, and the disks."""
    if not is_shown:
        return {"python": "", "folders": [], "hidden": [], "disks": []}
    folders = {
        Path(sys.executable).parent,
        Path(sys.executable).resolve().parent,
        Path(sys.prefix),
        Path(sys.base_prefix),
    }
    hidden = [folder for name in NOT_IN_TERMUX for folder in _folders(name)]
    return {
        "python": sys.executable,
        "folders": sorted(map(str, folders)),
        "hidden": hidden,
        "disks": sorted({_disk(path) for path in (*map(str, folders), *hidden)}),
    }


def _folders(package: str) -> list[str]:
    spec = find_spec(package)
    return [str(folder) for folder in spec.submodule_search_locations or ()] if spec else []  # some are paths


def _disk(path: str) -> str:
    """The mount point that a path is below: an overlay shows one disk, not what is mounted on it."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return max((point for point in points if Path(path).is_relative_to(point)), key=len)
