"""What kind of phone it is, and how it feels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqbert_cli.phone.links import Link, run_whole

PROPERTIES = (
    "ro.product.manufacturer", "ro.product.model", "ro.product.device", "ro.product.cpu.abi", "ro.board.platform",
    "ro.build.version.release", "ro.build.version.sdk", "ro.build.fingerprint",
)  # fmt: skip
ASK_FACTS = (
    f'for p in {" ".join(PROPERTIES)}; do echo "$p=$(getprop $p)"; done 2>/dev/null; '
    'echo "machine=$(uname -m)"; echo "kernel=$(uname -sr)"; '
    'echo "board=$(cat /proc/device-tree/model 2>/dev/null)"'
)
ASK_CONDITIONS = """
dumpsys battery 2>/dev/null | sed 's/^ */battery|/'
dumpsys thermalservice 2>/dev/null | sed -n 's/^Thermal Status: */thermal|/p'
dumpsys power 2>/dev/null | sed -n 's/^ *mWakefulness=/wakefulness|/p'
echo "low_power|$(settings get global low_power 2>/dev/null)"
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  f=$c/cpufreq
  echo "cpu|${c##*cpu}|$(cat $f/cpuinfo_max_freq)|$(cat $f/scaling_cur_freq)|$(cat $f/scaling_governor)"
done 2>/dev/null
for z in /sys/class/thermal/thermal_zone*; do
  echo "zone|$(cat $z/type)|$(cat $z/temp)"
done 2>/dev/null
"""
COOLEST_BATTERY, WARMEST_BATTERY, LEAST_BATTERY = 0.0, 35.0, 20.0
"""Degrees Celsius, and percent."""


@dataclass(frozen=True)
class Facts:
    """Of a phone, or of a Linux machine, which has no `device`."""

    name: str
    device: str
    machine: str
    """As `uname -m` says it."""
    platform: str
    system: str
    kernel: str
    build: str


@dataclass(frozen=True)
class Cpu:
    index: int
    max_khz: int | None
    current_khz: int | None
    governor: str


@dataclass(frozen=True)
class Conditions:
    """None: the phone does not say."""

    battery_percent: float | None
    battery_celsius: float | None
    is_powered: bool | None
    thermal_status: int | None
    """0: none; each step throttles more (Android 10 and later)."""
    low_power: bool | None
    wakefulness: str | None
    cpus: tuple[Cpu, ...]
    zones_celsius: Mapping[str, float]

    @property
    def big_cores(self) -> tuple[int, ...]:
        """Those of the highest frequency."""
        known = [cpu.max_khz for cpu in self.cpus if cpu.max_khz]
        return tuple(cpu.index for cpu in self.cpus if known and cpu.max_khz == max(known))

    def cores_for(self, threads: int) -> tuple[int, ...]:
        """The big ones; where there are fewer of them than threads, the next fastest too."""
        ranked = sorted((-cpu.max_khz, cpu.index) for cpu in self.cpus if cpu.max_khz)
        return tuple(index for _, index in ranked[: max(threads, len(self.big_cores))])

    def too_warm(self) -> Iterator[str]:
        """What waiting mends."""
        if self.battery_celsius is not None and self.battery_celsius > WARMEST_BATTERY:
            yield f"its battery has {self.battery_celsius:.1f} °C, more than {WARMEST_BATTERY:.0f}"
        if self.thermal_status:
            yield f"it throttles: thermal status {self.thermal_status}"

    def problems(self) -> Iterator[str]:
        """What would make a measurement say less."""
        yield from self.too_warm()
        if self.battery_percent is not None and self.battery_percent < LEAST_BATTERY:
            yield f"its battery is at {self.battery_percent:.0f} %, under {LEAST_BATTERY:.0f}"
        if self.wakefulness in ("Asleep", "Dozing"):
            yield "its screen is off, and it may slow down: wake it"
        if self.low_power:
            yield "its battery saver is on"


def ask_facts(link: Link) -> Facts:
    return parse_facts(run_whole(link, ASK_FACTS).out.splitlines())


def ask_conditions(link: Link) -> Conditions:
    return parse_conditions(run_whole(link, ASK_CONDITIONS).out.splitlines())


def parse_facts(lines: Sequence[str]) -> Facts:
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    said = {key: value.replace("\0", "").strip() for key, value in said.items()}
    model = f"{said.get('ro.product.manufacturer', '')} {said.get('ro.product.model', '')}".strip()
    release = said.get("ro.build.version.release")
    return Facts(
        name=model or said.get("board") or "a Linux machine",
        device=said.get("ro.product.device", ""),
        machine=said.get("machine", ""),
        platform=said.get("ro.board.platform", ""),
        system=f"Android {release}" if release else "Linux",
        kernel=said.get("kernel", ""),
        build=said.get("ro.build.fingerprint", ""),
    )


def parse_conditions(lines: Sequence[str]) -> Conditions:
    said = [line.split("|") for line in lines]
    pairs = [row for row in said if len(row) == 2]
    battery = dict(re.split(r":\s*", value, maxsplit=1) for key, value in pairs if key == "battery" and ":" in value)
    single = {row[0]: row[1] for row in pairs}
    level, scale, tenths = (_number(battery.get(name)) for name in ("level", "scale", "temperature"))
    powered = [value for name, value in battery.items() if name.endswith("powered")]
    thermal, low = _number(single.get("thermal")), _number(single.get("low_power"))
    zones = {row[1]: value for row in said if row[0] == "zone" if (value := _number(row[-1])) is not None}
    return Conditions(
        battery_percent=None if level is None else 100 * level / (scale or 100),
        battery_celsius=None if tenths is None else tenths / 10,
        is_powered="true" in powered if powered else None,
        thermal_status=None if thermal is None else int(thermal),
        low_power=None if low is None else low > 0,
        wakefulness=single.get("wakefulness"),
        cpus=tuple(sorted(map(_cpu, (row for row in said if row[0] == "cpu" and len(row) == 5)), key=_index)),
        zones_celsius={name: value / 1000 if abs(value) >= 1000 else value for name, value in zones.items()},
    )


def _cpu(row: Sequence[str]) -> Cpu:
    highest, current = (None if (value := _number(said)) is None else int(value) for said in row[2:4])
    return Cpu(int(_number(row[1]) or 0), highest, current, row[4])


def _index(cpu: Cpu) -> int:
    return cpu.index


def _number(said: str | None) -> float | None:
    said = (said or "").strip()
    return float(said) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", said) else None
