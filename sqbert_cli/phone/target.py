"""The phone that is meant, and the ways into it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import platformdirs

from sqbert_cli.phone.adb import GONE, PIXEL_3, Seen, choose, find_adb, seen_phones
from sqbert_cli.phone.facts import Facts, ask_facts
from sqbert_cli.phone.links import (
    CACHE,
    SSHD_PORT,
    TERMUX,
    TERMUX_HOME,
    AdbLink,
    Link,
    RunAsLink,
    SshFiles,
    SshLink,
    forwarded,
    program,
    run,
)
from sqbert_cli.phone.problems import PhoneError, Status

SSH = "ssh:"
ARM64 = ("aarch64", "armv8l")
SETUP = "`sqbert bench --device pixel3 --setup` shows what to type in Termux once; or use `--runtime native`"


@dataclass(frozen=True)
class Target:
    """A phone, or a machine behind ssh."""

    link: Link
    facts: Facts
    adb: str | None = None
    serial: str = ""

    @property
    def is_named_pixel_3(self) -> bool:
        return self.facts.device in PIXEL_3

    @property
    def is_pixel_3(self) -> bool:
        """Whatever it calls itself, it is none with another processor."""
        return self.is_named_pixel_3 and self.facts.machine in ARM64


def find_target(device: str, serial: str | None, any_device: bool) -> Target:
    """Return what `--device` names. Raises `PhoneError` where it cannot be had, or is no Pixel 3."""
    if device.startswith(SSH):
        link = SshLink(device.removeprefix(SSH))
        return Target(link, ask_facts(link))
    adb = find_adb()
    chosen: Seen = choose(seen_phones(adb), serial)
    own = AdbLink(adb, chosen.serial)
    target = Target(own, ask_facts(own), adb, chosen.serial)
    if not (target.is_named_pixel_3 or any_device):
        raise PhoneError(
            Status.WRONG_PHONE,
            f"{chosen.serial} is no Pixel 3 but {target.facts.name} ({target.facts.device or 'of no name'})",
            "use `--any-device` to measure it all the same; the result says what it is",
        )
    return target


def ssh_files() -> SshFiles:
    return SshFiles(platformdirs.user_data_path("sqbert") / "phone")


def has_termux(target: Target) -> bool:
    return target.adb is not None and bool(run(target.link, f"pm path {TERMUX} 2>/dev/null").out.strip())


def enter_termux(target: Target, stack: ExitStack) -> Link:
    """Return a link into Termux: through `run-as` where its build allows that, else through its sshd.

    What has to be taken away again, `stack` does. Raises `PhoneError` where neither works.
    """
    if target.adb is None:
        raise PhoneError(
            Status.NO_TERMUX,
            "Termux is on phones; a machine behind ssh runs the native program",
            "leave out `--runtime`",
        )
    if not has_termux(target):
        raise PhoneError(Status.NO_TERMUX, "there is no Termux on the phone", SETUP)
    inside = RunAsLink(target.adb, target.serial)
    if run(inside, "true").status == 0:
        return inside
    files = ssh_files()
    port = stack.enter_context(forwarded(target.adb, target.serial, SSHD_PORT))
    link = SshLink(
        "127.0.0.1",
        files.options(target.serial, port),
        folder=f"{TERMUX_HOME}/{CACHE}",
        name="Termux's sshd",
        status=Status.NO_TERMUX,
        remedy=f"this Termux allows no `run-as`, so its sshd must run and know the key of sqbert: {SETUP}",
    )
    run(link, "true")
    return replace(
        link, status=Status.LOST, remedy=f"{GONE}; or did Android end Termux? Keep it in front, with its sshd"
    )


def check_torch(link: Link) -> str:
    """Return the version of Termux's PyTorch. Raises `PhoneError` where it cannot be imported."""
    ran = run(link, f"python -c {quote('import torch; print(torch.__version__)')}")
    if ran.status:
        raise PhoneError(
            Status.NO_TORCH,
            f"Termux has no PyTorch that works: {(ran.err.strip().splitlines() or ['?'])[-1]}",
            f"in Termux: `pkg upgrade && pkg install python-torch`, and by `pip` what it misses; {SETUP}",
        )
    return ran.out.strip()


def setup_lines(public_key: str) -> list[str]:
    """What is typed in Termux once."""
    return [
        "pkg update -y && pkg install -y python python-pip python-torch openssh",
        "pip install typing_extensions filelock sympy networkx jinja2 fsspec",
        f"mkdir -p ~/.ssh && echo '{public_key}' >> ~/.ssh/authorized_keys && chmod 600 ~/.ssh/authorized_keys",
        "termux-wake-lock; sshd",
        "python -c 'import torch; print(torch.__version__)'",
    ]


def public_key(files: SshFiles) -> str:
    """Return the key that lets sqbert into Termux; made at the first call, and for nothing else."""
    import subprocess

    if not files.key.is_file():
        files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        keygen = program("ssh-keygen", Status.NO_TERMUX)
        command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "sqbert", "-f", str(files.key)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return Path(f"{files.key}.pub").read_text().strip()
