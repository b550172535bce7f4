"""The user's own adb, as a subprocess: where it is, which phones it sees, and what it complains of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqbert_cli.phone.problems import PhoneError, Status

TIMEOUT = 30.0
SDKS = ("~/Android/Sdk", "~/Library/Android/sdk", "~/AppData/Local/Android/Sdk")
PIXEL_3 = {"blueline": "Pixel 3", "crosshatch": "Pixel 3 XL"}
GONE = "is the cable loose? Plug it in and run this again"
GET_ADB = (
    "install it: `apt install adb`, `brew install --cask android-platform-tools`, or Google's SDK Platform-Tools; or "
    "name it in $SQBERT_ADB"
)


@dataclass(frozen=True)
class Seen:
    """A line of `adb devices -l`."""

    serial: str
    state: str
    product: str | None = None
    """Android's name of the device, such as `blueline`; only of one that may be asked."""
    model: str | None = None


def find_adb() -> str:
    """Return the path of adb. Raises `PhoneError` where there is none."""
    if named := os.environ.get("SQBERT_ADB"):
        if found := shutil.which(named):
            return found
        raise PhoneError(Status.NO_ADB, f"$SQBERT_ADB names `{named}`, which is no program", GET_ADB)
    homes = (os.environ.get("ANDROID_HOME"), os.environ.get("ANDROID_SDK_ROOT"), *SDKS)
    folders = (str(Path(home).expanduser() / "platform-tools") for home in homes if home)
    found = shutil.which("adb") or shutil.which("adb", path=os.pathsep.join(folders))
    if not found:
        raise PhoneError(Status.NO_ADB, "there is no adb, which talks to the phone", GET_ADB)
    return found


def ask(adb: str, *arguments: str) -> str:
    """Return what adb says. Raises `PhoneError` where it complains."""
    try:
        ended = subprocess.run([adb, *arguments], capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise PhoneError(
            Status.OFFLINE,
            f"`adb {' '.join(arguments)}` gave no answer in {TIMEOUT:.0f} seconds",
            "try `adb kill-server`",
        ) from None
    if ended.returncode:
        raise complaint(ended.stderr) or PhoneError(
            Status.LOST, f"`adb {' '.join(arguments)}` failed: {ended.stderr.strip() or ended.returncode}"
        )
    return ended.stdout


def seen_phones(adb: str) -> list[Seen]:
    return list(parse_devices(ask(adb, "devices", "-l").splitlines()))


def parse_devices(lines: Iterable[str]) -> Iterable[Seen]:
    """Read `adb devices -l`: a serial, a state of one word or a sentence, then `key:value` pairs."""
    for line in lines:
        match = re.fullmatch(r"(\S+)\s+(no permissions.*|\S+)(.*)", line.strip())
        if match is None or line.startswith(("List of devices", "*", "adb ")):
            continue
        serial, state, rest = match.groups()
        facts = dict(pair.split(":", 1) for pair in rest.split() if ":" in pair)
        yield Seen(serial, state, facts.get("device"), facts.get("model", "").replace("_", " ") or None)


def choose(phones: Sequence[Seen], serial: str | None = None) -> Seen:
    """Return the one that is meant: the named one, the only one, or the only Pixel 3."""
    serial = serial or os.environ.get("ANDROID_SERIAL") or None
    some = [phone for phone in phones if serial in (None, phone.serial)]
    if len(some) > 1:
        some = [phone for phone in some if phone.product in PIXEL_3] or some
    if not some:
        missing = f"adb sees no phone with the serial `{serial}`" if serial else "adb sees no phone"
        raise PhoneError(
            Status.NO_PHONE,
            missing,
            "plug it in, unlock it, and turn on USB debugging (Settings > System > Developer options); `adb devices` "
            "shows what is seen",
        )
    if len(some) > 1:
        names = ", ".join(f"{phone.serial} ({phone.model or phone.state})" for phone in some)
        raise PhoneError(Status.SEVERAL, f"there are {len(some)} phones: {names}", "name one with `--serial`")
    if problem := state_problem(some[0].serial, some[0].state):
        raise problem
    return some[0]


def state_problem(serial: str, state: str) -> PhoneError | None:
    """What keeps a phone in this state from being asked; its serial, where that is known, is told."""
    if state == "device":
        return None
    phone = f"the phone {serial}".strip()
    if state in ("unauthorized", "authorizing"):
        return PhoneError(
            Status.UNAUTHORIZED,
            f"{phone} has not allowed this computer yet",
            "unlock it and accept `Allow USB debugging?`; if nothing is asked, revoke the authorizations in the "
            "developer options and plug it in again",
        )
    if state.startswith("no permissions"):
        return PhoneError(
            Status.NO_PERMISSION,
            f"this user may not open {phone}: {state}",
            "install your system's udev rules for Android (Debian: `android-sdk-platform-tools-common`, and be in "
            "`plugdev`), then plug it in again",
        )
    if state in ("recovery", "sideload", "bootloader", "rescue"):
        return PhoneError(Status.OFFLINE, f"{phone} is in {state}", "start Android: `adb reboot`")
    return PhoneError(Status.OFFLINE, f"{phone} is {state}", "plug it in again, or restart adb: `adb kill-server`")


def complaint(said: str) -> PhoneError | None:
    """What adb itself, not a program on the phone, complains of."""
    line = next((line for line in said.splitlines() if line.startswith(("error:", "adb: ", "- waiting"))), None)
    if line is None:
        return None
    for word, state in (("unauthorized", "unauthorized"), ("offline", "offline"), ("permissions", "no permissions")):
        if word in line:
            return state_problem("", state)
    if "more than one" in line:
        return PhoneError(Status.SEVERAL, "there is more than one phone", "name one with `--serial`")
    return PhoneError(Status.LOST, f"the phone is gone: {line}", GONE)
