"""The files of a phone, put together in its own mount namespace, in memory: the machine's disk is not written to."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from .android import QEMU, android, termux
from .device import describe, put

BASE = Path("/media")  # of the phone's namespace only
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MAGIC = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    rf":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{QEMU}:F"
)


def make(
    kind: str, adbd: str, shims: str, python: str, folders: list[str], hidden: list[str], disks: list[str]
) -> None:
    """Build the root of an `overlay` or an `arm64` phone, and make it this process's."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "phone", str(BASE))
    root = BASE / "root"
    if kind == "overlay":
        for disk in dict.fromkeys(["/", *disks]):
            lay_over(disk, disk, *(below(disk, disks, paths) for paths in (folders, hidden)))
    else:
        lay_over(adbd, "/", [], [], ",userxattr")
    special_files(root)
    describe(root)
    android(root, Path(shims), "amd64" if kind == "overlay" else "arm64")
    if kind == "overlay":
        (root / "opt/adbd").mkdir(parents=True)
        mount("--bind", adbd, str(root / "opt/adbd"))
        put(root, "system/lib64/login.so", (Path(shims) / "login.so").read_bytes())
        put(root, "system/python", python.encode())
        termux(root, Path(shims))
    else:
        arm64(root)
    os.chroot(root)
    os.chdir("/")


def mount(*words: str) -> None:
    ended = subprocess.run(["mount", *words], capture_output=True, text=True)
    if ended.returncode:
        raise OSError(f"mount {' '.join(words)}: {ended.stderr.strip()}")


def below(disk: str, disks: list[str], paths: list[str]) -> list[Path]:
    """The paths that are on a disk, relative to it."""
    deeper = [other for other in disks if Path(other).is_relative_to(disk) and other != disk]
    on_it = [Path(path) for path in paths if Path(path).is_relative_to(disk)]
    return [path.relative_to(disk) for path in on_it if not any(path.is_relative_to(other) for other in deeper)]


def lay_over(lower: str, at: str, folders: list[Path], hidden: list[Path], options: str = "") -> None:
    """Show a folder in the root, to be changed in memory only; some folders open to all, some paths gone."""
    target = BASE / "root" / at.lstrip("/")
    layer = BASE / f"layer{len(list(BASE.glob('layer*')))}"
    for folder in (target, layer / "work", layer / "upper", *(layer / "upper" / name for name in folders)):
        folder.mkdir(parents=True, exist_ok=True)  # a folder here replaces the mode of the one below, not its files
    for name in hidden:
        (layer / "upper" / name).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(layer / "upper" / name, stat.S_IFCHR)  # what overlayfs takes for a removed file
    layers = f"lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work{options}"
    mount("-t", "overlay", "-o", layers, "phone", str(target))


def special_files(root: Path) -> None:
    """A /proc of the phone's own with cpuinfo of ours, and a /dev."""
    for name in ("proc", "sys", "dev/pts", "dev/socket"):
        (root / name).mkdir(parents=True, exist_ok=True)
    mount("-t", "proc", "proc", str(root / "proc"))
    (BASE / "cpuinfo").touch()
    mount("--bind", str(BASE / "cpuinfo"), str(root / "proc/cpuinfo"))
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", str(root / "dev" / name))
    mount("-t", "devpts", "-o", "ptmxmode=0666,newinstance", "devpts", str(root / "dev/pts"))
    (root / "dev/ptmx").unlink(missing_ok=True)
    (root / "dev/ptmx").symlink_to("pts/ptmx")


def arm64(root: Path) -> None:
    """Let the kernel run arm64 programs, in this user namespace alone (Linux 6.7 and later)."""
    mount("-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc")
    Path("/proc/sys/fs/binfmt_misc/register").write_text(MAGIC)
