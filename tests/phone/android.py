"""What makes a root Android's: shell, tools and users, and Termux with this machine's programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .device import FILES as SHIMS
from .device import put

QEMU = "/usr/bin/qemu-aarch64-static"
SHELL, TERMUX = 2000, 10123  # user ids
FILES = "data/data/com.termux/files"
USERS = f"""\
root:x:0:0:root:/:/system/bin/sh
shell:x:{SHELL}:{SHELL}:shell:/:/system/bin/sh
u0_a123:x:{TERMUX}:{TERMUX}:Termux:/{FILES}/home:/{FILES}/usr/bin/bash
"""
TERMUX_PROGRAMS = """
bash dash sed grep awk tar gzip find xargs ps kill pkill pgrep taskset env cat sha256sum ls cp mv rm mkdir rmdir chmod
ln head tail wc sort uname id timeout nohup setsid sleep touch dd stat df du echo printf test true false date mktemp
basename dirname readlink realpath tr cut tee uniq seq nproc sync base64 md5sum cmp diff which expr
"""


def android(root: Path, shims: Path, architecture: str) -> None:
    """Android's shell and tools, the users, and where the shell may write."""
    toybox = ["toybox"] if architecture == "amd64" else [QEMU, "-L", str(root), str(root / "usr/bin/toybox")]
    for name in subprocess.run(toybox, capture_output=True, text=True, check=True).stdout.split():
        if not (root / "system/bin" / name).exists():
            (root / "system/bin" / name).symlink_to("/usr/bin/toybox")
    for name in ("usr/bin/sh", "system/bin/sh"):
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to("/usr/bin/mksh" if name.startswith("system") else "mksh")
    put(root, "system/lib64/props.so", (shims / f"props-{architecture}.so").read_bytes())
    put(root, "system/bin/run-as", (SHIMS / "system/bin/run-as").read_bytes(), 0o755)
    put(root, "etc/passwd", USERS.encode())
    put(root, "etc/group", f"root:x:0:\nshell:x:{SHELL}:\nu0_a123:x:{TERMUX}:\n".encode())
    owned(root / "data/local/tmp", SHELL, 0o771)
    (root / "data/user").mkdir()
    (root / "data/user/0").symlink_to("../data")


def owned(folder: Path, user: int, mode: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, user, user)
    folder.chmod(mode)
    return folder


def termux(root: Path, shims: Path) -> None:
    """Termux with the machine's own programs and a given Python; its run-as changes the user, as Android's does."""
    put(root, "system/bin/run-as", (shims / "run-as").read_bytes(), 0o4755)
    owned(root / "data/data/com.termux", TERMUX, 0o700)
    for name in ("files", "files/home", "files/usr", "files/usr/bin", "files/usr/lib", "files/usr/tmp", "cache"):
        owned(root / "data/data/com.termux" / name, TERMUX, 0o700)
    python = (root / "system/python").read_text()
    bin_folder = root / FILES / "usr/bin"
    for name in TERMUX_PROGRAMS.split():
        (bin_folder / name).symlink_to(f"/usr/bin/{name}")
    (bin_folder / "sh").symlink_to("dash")
    for name in ("python", "python3"):
        put(root, f"{FILES}/usr/bin/{name}", f'#!/{FILES}/usr/bin/sh\nexec {python} "$@"\n'.encode(), 0o755)
    put(root, f"{FILES}/usr/lib/libtermux-exec.so", (shims / "empty.so").read_bytes())
