"""The computer's side: two genuine adb clients, and ssh with a home of its own, as executable files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .android import FILES
from .compiled import shims
from .debian import AMD64, unpacked

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
PLATFORM_TOOLS = "usr/lib/android-sdk/platform-tools"
SSH_SETTINGS = """\
Host *
    IdentityFile {home}/.ssh/id_ed25519
    UserKnownHostsFile {home}/.ssh/known_hosts
"""


def write_clients(home: Path) -> dict[str, Path]:
    """Write `adb-29` (this machine's) and `adb-34` (Debian trixie's), and an `ssh` that knows only this home."""
    root = unpacked(AMD64)
    newer = (
        f'export ADB_SELF="$0"\nexec {root}/{LOADER} --library-path {root}/{LIBRARIES}:{root}/{LIBRARIES}/android '
        f'--preload {shims()}/self.so {root}/{PLATFORM_TOOLS}/adb "$@"'
    )
    programs = {
        "adb-29": 'exec /usr/bin/adb "$@"',
        "adb-34": newer,
        "ssh": f'exec /usr/bin/ssh -F {home}/.ssh/config "$@"',
        "scp": f'exec /usr/bin/scp -F {home}/.ssh/config "$@"',
    }
    return {name: _script(home / "bin" / name, command) for name, command in programs.items()}


def _script(path: Path, command: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


def write_keys(home: Path) -> Path:
    """A key of the user's and one of the phone's; returns the user's."""
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh/config").write_text(SSH_SETTINGS.format(home=home))
    for name in (".ssh/id_ed25519", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    return home / ".ssh/id_ed25519"


def sshd_settings() -> str:
    """As in Termux: keys only, port 8022, and the environment of Termux's shell."""
    prefix = f"/{FILES}/usr"
    return (
        "Port 8022\nListenAddress 127.0.0.1\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PidFile none\nHostKey {prefix}/etc/ssh/ssh_host_ed25519_key\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
        f"AuthorizedKeysFile /{FILES}/home/.ssh/authorized_keys\n"
        f"SetEnv PATH={prefix}/bin PREFIX={prefix} TMPDIR={prefix}/tmp LANG=en_US.UTF-8\n"
    )
