"""A phone, for tests.

with overlay_phone(home) as phone:
    phone.sqbert("bench", "--device", "pixel3")
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import android, clients, device
from .compiled import shims
from .computer import Computer
from .debian import AMD64, ARM64, unpacked
from .machine import python_files
from .namespace import Namespace, Process, kill, wait_until
from .roots import BASE

PORT = 6555  # odd ones from 5555 to 5585 are found by adb without being asked for
TEMPORARY = "data/local/tmp"
HOME = f"{android.FILES}/home"
TERMUX_LINE = (
    "com.termux {user} {debuggable:d} /data/user/0/com.termux default:targetSdkVersion=28 3003 0 118 1 @null\n"
)
DAEMONS = ("platform-tools/adbd", "/usr/sbin/sshd", "sshd: ")


class Phone(Computer):
    """A phone at `serial` and the computer that it is plugged into. `root` is its file system, for the tests."""

    def __init__(self, kind: str, home: Path) -> None:
        self.kind, self.serial = kind, f"127.0.0.1:{PORT}"
        userland = unpacked(AMD64 if kind == "overlay" else ARM64)
        plan = {"kind": kind, "adbd": str(userland), "shims": str(shims())}
        super().__init__(home, Namespace(plan | python_files(kind == "overlay")))
        self.root = self.namespace.root
        self._log = (home / "phone.log").open("wb")
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._disks: list[str] = []

    def stop(self) -> None:
        """End all that runs on either side, and leave nothing mounted."""
        self.namespace.stop()
        self.end_started()
        for daemon in self._daemons:
            daemon.wait()
        self._log.close()

    def reset(self, client: str = "adb-29") -> None:
        """As it was at first, with one of the adb clients: for the next test."""
        self.end_started()
        wait_until(self._end_processes, "only adbd left")
        while self._disks:
            self.namespace.mount("umount", "--lazy", self._disks.pop())
        shutil.rmtree(self.root / TEMPORARY)
        android.owned(self.root / TEMPORARY, android.SHELL, 0o771)
        if self.kind == "overlay":
            shutil.rmtree(self.root / "data/data/com.termux")
            android.termux(self.root, shims())
        self.install_termux() if self.kind == "overlay" else self.remove_termux()
        device.describe(self.root)
        self._plug_in(client)

    def _end_processes(self) -> bool:
        others = {process.pid for process in self.namespace.processes()} - set(self._adbd(PORT))
        kill(others)
        return not others

    def _plug_in(self, client: str) -> None:
        self.use(client)
        self.adb("disconnect")
        self.adb("forward", "--remove-all")
        if self._adbd(PORT):
            self.connect(self.serial)
        else:
            self.start_adbd()

    # what is on it

    def shell(self, command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return self.adb("-s", self.serial, "shell", command, **options)

    def path(self, name: str) -> Path:
        """Where a file of the phone is for the tests."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str:
        return self.path(name).read_text()

    def write(self, name: str, text: str) -> None:
        """Write a file, in place, with the owner and the mode that it has."""
        self.path(name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change what a file says: `phone.replace("/system/dumpsys.battery", "level: 87", "level: 5")`."""
        text = self.read(name)
        assert old in text, f"no `{old}` in {name}"
        self.write(name, text.replace(old, new))

    def files(self) -> list[str]:
        """What may be left in /data/local/tmp and Termux's home (but for its .ssh): files, and folders of jobs."""
        some = (path for folder in (TEMPORARY, HOME) for path in self.path(folder).rglob("*"))
        found = [path for path in some if path.name.startswith("job-") or not path.is_dir()]
        names = ("/" + str(path.relative_to(self.root)) for path in found)
        return sorted(name for name in names if not name.startswith(f"/{HOME}/.ssh/"))

    def processes(self) -> list[Process]:
        """What runs on it, but for its daemons."""
        return [
            process for process in self.namespace.processes() if not any(name in process.command for name in DAEMONS)
        ]

    def install_termux(self, debuggable: bool = True) -> None:
        """Termux as GitHub has it, or (not debuggable) as F-Droid has it."""
        device.put(
            self.root,
            "data/system/packages.list",
            TERMUX_LINE.format(user=android.TERMUX, debuggable=debuggable).encode(),
        )

    def remove_termux(self) -> None:
        device.put(self.root, "data/system/packages.list", b"")

    def small_disk(self, size: str, folder: str = "/data/local/tmp") -> None:
        """Put a disk of so many bytes (as `300k`, `2m`) over a folder, until the next reset."""
        stat = self.path(folder).stat()
        at = f"{BASE}/root{folder}"
        options = f"size={size},uid={stat.st_uid},gid={stat.st_gid},mode={stat.st_mode & 0o777:o}"
        self.namespace.mount("mount", "-t", "tmpfs", "-o", options, "small", at)
        self._disks.append(at)

    # daemons

    def start_adbd(self, port: int = PORT, props: str = "/system/build.prop") -> str:
        """Start adbd and plug it in. On another port it is another phone with the same files. Returns its serial."""
        is_x86 = self.kind == "overlay"
        at, triple, loader = ("/opt/adbd", "x86_64", "-x86-64.so.2") if is_x86 else ("", "aarch64", "-aarch64.so.1")
        libraries = f"{at}/usr/lib/{triple}-linux-gnu"
        argv = [f"{libraries}/ld-linux{loader}", "--library-path", f"{libraries}:{libraries}/android"]
        argv += ["--preload", "/system/lib64/props.so", f"{at}/{clients.PLATFORM_TOOLS}/adbd"]
        self._start_daemon(argv, android.SHELL, ADBD_LISTEN=f"tcp:{port}", PHONE_PROPS=props)
        serial = f"127.0.0.1:{port}"
        self.connect(serial)
        return serial

    def kill_adbd(self, port: int = PORT) -> None:
        """Without a word to the computer."""
        kill(self._adbd(port))
        wait_until(lambda: not self._adbd(port), "adbd gone")

    def _adbd(self, port: int) -> list[int]:
        found = [process.pid for process in self.namespace.processes() if process.command.endswith(DAEMONS[0])]
        return [pid for pid in found if f"ADBD_LISTEN=tcp:{port}" in self.namespace.environment(pid)]

    def start_sshd(self, *public_keys: str) -> None:
        """Termux's sshd, on port 8022. It knows these keys and `ssh_key`, which is `~/.ssh/id_ed25519` of `run`."""
        own = self.ssh_key.with_suffix(".pub").read_text().strip()
        etc, ssh = f"{android.FILES}/usr/etc/ssh", f"{HOME}/.ssh"
        for name, content in {
            f"{etc}/ssh_host_ed25519_key": (self.home / "host_key").read_bytes(),
            f"{etc}/sshd_config": clients.sshd_settings().encode(),
            f"{ssh}/authorized_keys": "\n".join([own, *public_keys, ""]).encode(),
        }.items():
            device.put(self.root, name, content, 0o600)
            os.chown(self.path(name), android.TERMUX, android.TERMUX)
        android.owned(self.path(ssh), android.TERMUX, 0o700)
        android.owned(self.path(etc), android.TERMUX, 0o700)
        log = self.home / "phone.log"
        before = log.stat().st_size
        preload = ["/usr/bin/env", "LD_PRELOAD=/system/lib64/login.so"]  # there, not in what leads there
        self._start_daemon([*preload, "/usr/sbin/sshd", "-D", "-e", "-f", f"/{etc}/sshd_config"], android.TERMUX)
        wait_until(lambda: b"Server listening" in log.read_bytes()[before:], "sshd")

    def _start_daemon(self, argv: list[str], user: int, **environment: str) -> None:
        self._daemons.append(self.namespace.start_on_phone(argv, user, environment, self._log))


@contextmanager
def overlay_phone(home: Path) -> Iterator[Phone]:
    """A phone with this machine's programs and this Python as Termux's."""
    yield from _started(Phone("overlay", home))


@contextmanager
def arm64_phone(home: Path) -> Iterator[Phone]:
    """A phone that runs arm64 programs (under qemu, so slowly), without Termux."""
    yield from _started(Phone("arm64", home))


def _started(phone: Phone) -> Iterator[Phone]:
    try:
        phone.start_adbd()
        yield phone
    finally:
        phone.stop()
