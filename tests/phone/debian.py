"""Android's device side from Debian trixie, fetched apart from the machine's own packages and kept in a cache."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from platformdirs import user_cache_path

SUITE = "trixie"  # the first with a package adbd
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCES = Path("/etc/apt")


@dataclass(frozen=True)
class Userland:
    """Packages of one architecture; they come with all that they depend on."""

    architecture: str
    packages: tuple[str, ...]


AMD64 = Userland("amd64", ("adbd", "adb"))
ARM64 = Userland("arm64", ("adbd", "mksh", "toybox", "busybox-static", "tcc"))  # tcc compiles the shims


def cache() -> Path:
    folder = Path(os.environ.get("SQBERT_TEST_PHONES") or user_cache_path("sqbert-tests") / "phones")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep(folder: Path, made: Path) -> Path:
    """Put a complete folder in its place, or take the one that another run has put there first."""
    with suppress(FileExistsError, OSError):
        made.rename(folder)
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    return folder


def unpacked(userland: Userland) -> Path:
    """The folder with the packages' files: whole, or not there at all."""
    folder = cache() / "-".join((SUITE, userland.architecture, *userland.packages))
    if folder.is_dir():
        return folder
    with TemporaryDirectory(dir=cache()) as scratch:
        root = Path(scratch, "root")
        for package in _download(userland, Path(scratch, "apt")):
            subprocess.run(["dpkg", "-x", package, root], check=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            if (root / "usr" / name).is_dir() and not (root / name).exists():
                (root / name).symlink_to(f"usr/{name}")
        root.chmod(0o755)
        return keep(folder, root)


def mirror() -> str:
    """The address that this machine's own apt has for its release."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    for file in sorted([*SOURCES.glob("sources.list"), *SOURCES.glob("sources.list.d/*.*")]):
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            if release and (address := address_in(stanza, release[1])):
                return address
    raise LookupError(f"no Debian mirror in {SOURCES}")


def address_in(stanza: str, release: str) -> str | None:
    """Where the release's own suite is, after `URIs:` or in a line `deb [OPTIONS] ADDRESS SUITE ...`."""
    if uris := re.search(r"^URIs:\s*(\S+)", stanza, re.MULTILINE):
        return uris[1] if re.search(rf"^Suites:(.*\s)?{release}(\s|$)", stanza, re.MULTILINE) else None
    line = re.search(rf"^deb\s+(?:\[[^]]*]\s+)?(\S+)\s+{release}\s", stanza, re.MULTILINE)
    return line[1] if line else None


def _download(userland: Userland, apt: Path) -> list[Path]:
    """Resolve with an empty status file, so that nothing counts as installed and everything is fetched."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n")
    settings = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Architecture": userland.architecture,
        "APT::Architectures": userland.architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Retries": 3,
    }
    command = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    install = ["--yes", "--no-install-recommends", "--download-only", "install", *userland.packages]
    for step in (["update"], install):
        ended = subprocess.run([*command, *step], capture_output=True, text=True)
        if ended.returncode:
            raise OSError(f"apt-get {step[-1]}: {ended.stderr.strip()}")
    return sorted((apt / "cache/archives").glob("*.deb"))
