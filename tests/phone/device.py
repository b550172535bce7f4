"""The files that describe a Pixel 3: written when a phone starts, and again to undo what a test has changed."""

from __future__ import annotations

import os
from pathlib import Path

FILES = Path(__file__).parent / "shims/files"
LITTLE, BIG = 1766400, 2803200  # kHz
ZONES = {"cpu0-silver-usr": 33500, "cpu0-gold-usr": 34200, "battery": 27100}
CORE = """\
processor\t: {number}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp
CPU implementer\t: 0x51
CPU architecture: 8
CPU variant\t: {variant}
CPU part\t: {part}
CPU revision\t: {revision}

"""


def describe(root: Path) -> None:
    """Write all that the shims and the kernel's files say."""
    for file in FILES.rglob("*"):
        if file.is_file() and file.name != "run-as":
            put(root, str(file.relative_to(FILES)), file.read_bytes(), file.stat().st_mode & 0o777)
    for name, text in _kernel().items():
        put(root, name, text.encode())


def put(root: Path, name: str, content: bytes, mode: int = 0o644) -> None:
    """Write one file, in place: some are mount points."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if not path.is_relative_to(root / "proc"):
        path.chmod(mode)


def big_cpus() -> list[int]:
    """The CPUs of this machine that are the phone's big ones: the upper half, as on a Pixel 3."""
    return list(range(_cpus() // 2, _cpus()))


def _cpus() -> int:
    return max(os.cpu_count() or 1, 1)


def _kernel() -> dict[str, str]:
    """What is in /proc/cpuinfo and below /sys: one folder for each CPU that there is, so that pinning can happen."""
    files = {"sys/devices/system/cpu/" + name: f"0-{_cpus() - 1}\n" for name in ("present", "possible", "online")}
    cores = []
    for number in range(_cpus()):
        is_big = number in big_cpus()
        most = BIG if is_big else LITTLE
        frequencies = {"cpuinfo_max_freq": most, "scaling_max_freq": most, "scaling_cur_freq": most}
        for name, value in {**frequencies, "scaling_governor": "schedutil"}.items():
            files[f"sys/devices/system/cpu/cpu{number}/cpufreq/{name}"] = f"{value}\n"
        variant, part, revision = ("0x6", "0x802", 13) if is_big else ("0x7", "0x803", 12)
        cores.append(CORE.format(number=number, variant=variant, part=part, revision=revision))
    for number, (kind, temperature) in enumerate(ZONES.items()):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = f"{kind}\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = f"{temperature}\n"
    head = "Processor\t: AArch64 Processor rev 13 (aarch64)\n"
    files["proc/cpuinfo"] = head + "".join(cores) + "Hardware\t: Qualcomm Technologies, Inc SDM845\n"
    return files
