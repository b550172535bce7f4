"""Targets that read what a phone says, and reports of earlier measurements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from sqbert_cli.bench.report import compare, read_report
from sqbert_cli.bench.statistics import summarise
from sqbert_cli.phone.adb import choose, complaint, parse_devices
from sqbert_cli.phone.facts import parse_conditions, parse_facts
from sqbert_cli.phone.links import Ran
from sqbert_cli.phone.result import MARK, read_result, throttling
from tests.fuzz.engine import Fuzzed

RESULT = {
    "runner": "1", "engine": "PyTorch 2.5", "path": "aten", "machine": "aarch64", "threads": 4, "affinity": [4, 5],
    "models": [{"name": "m", "load_ms": 1.5, "first_ms": 2.0, "logits": [[0.1, 0.2]], "times_ms": [1.0, 1.2, 1.1]}],
    "watched": [[1766400, None]], "peak_kb": 100,
}  # fmt: skip
CONDITIONS = """battery|Current Battery Service state:
battery|AC powered: false
battery|USB powered: true
battery|level: 85
battery|scale: 100
battery|temperature: 271
thermal|0
wakefulness|Awake
low_power|0
cpu|0|1766400|300000|schedutil
cpu|7|2803200|825600|schedutil
zone|cpu0-silver|27100
"""
FACTS = "ro.product.model=Pixel 3\nro.product.cpu.abi=arm64-v8a\nmachine=aarch64\nkernel=Linux 4.9\nboard=x\0\n"
DEVICES = """List of devices attached
89ABX0ABC              device usb:1-2 product:blueline model:Pixel_3 device:blueline transport_id:1
FA7                    no permissions (user in plugdev group); see [http://x] usb:1-1
error: device offline
"""
SHAPE = {"batch_size": 1, "length": 128, "threads": 2}
ONE = {"case": {"model": "m", "engine": "sqbert", "dtype": "float32", "shape": SHAPE}, "times_ms": [1.0, 1.1, 0.9],
       "difference": 0.0, "gflop": 2.5, "weights": "random"}  # fmt: skip
REPORT = {"sqbert_bench": 1, "machine": {"processor": "x"}, "models": {"m": {"score": None}}, "baseline": "sqbert",
          "measurements": [ONE, {**ONE, "times_ms": [2.0] * 3, "case": {**ONE["case"], "model": "n"}}]}  # type: ignore[dict-item]  # fmt: skip
RESULT_WORDS = tuple(f'"{name}"'.encode() for name in (*RESULT, *RESULT["models"][0]))  # type: ignore[index]


def phone_targets(folder: Path) -> Iterable[Fuzzed]:
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps(RESULT).encode()
    yield Fuzzed("result", _marked, [body], RESULT_WORDS)
    yield Fuzzed("marked", _result, [with_mark(body)], (MARK.encode(), b" -", b"  ", b"\n"))
    told = (CONDITIONS + FACTS + DEVICES).encode()
    yield Fuzzed("phone", _phone, [told], (b"battery|", b"zone|", b"cpu|", b"|", b"="))
    words = tuple(f'"{name}"'.encode() for name in (*REPORT, *ONE, *SHAPE))
    yield Fuzzed("report", _report(folder / "report.json"), [json.dumps(REPORT).encode()], words)


def with_mark(body: bytes) -> bytes:
    digest = hashlib.sha256(body + b"\n").hexdigest()
    return body + f"\n{MARK} {digest}  - {len(body) + 1}\n".encode()


def _marked(data: bytes) -> object:
    """Whole, whatever it says."""
    return _result(with_mark(data))


def _result(data: bytes) -> object:
    text = data.decode(errors="replace")
    result = read_result(Ran(len(data) % 3, text, text[:200]), "native", "")
    signs = throttling(result, 2_000_000, [])
    return len(result.models), len(signs)


def _phone(data: bytes) -> object:
    lines = data.decode(errors="replace").splitlines()
    facts, conditions = parse_facts(lines), parse_conditions(lines)
    complaint("\n".join(lines))
    list(conditions.problems()), conditions.big_cores
    choose(list(parse_devices(lines)))
    return bool(facts.name), len(conditions.cpus)


def _report(path: Path) -> Callable[[bytes], object]:
    def attempt(data: bytes) -> object:
        path.write_bytes(data)
        report = read_report(path)
        changes = list(compare(report, report))
        return [bool(one.ratio) for one in changes], [summarise(one.new.times_ms).median > 0 for one in changes]

    return attempt
