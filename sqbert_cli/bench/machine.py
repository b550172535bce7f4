"""What a time was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sqbert_cli import __version__

PACKAGES = ("torch", "transformers", "onnxruntime", "openvino", "tokenizers", "numpy")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimddp", "bf16")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def machine_facts() -> dict[str, Any]:
    cpuinfo = _cpuinfo()
    flags = cpuinfo.get("flags", cpuinfo.get("Features", "")).split()
    return {
        "processor": cpuinfo.get("model name") or platform.processor() or platform.machine(),
        "features": [name for name in FEATURES if name in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.is_file() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqbert": __version__,
        "commit": _commit(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "torch_cpu": torch.backends.cpu.get_cpu_capability(),
    }


def default_threads() -> int:
    """One for each core that is ours."""
    return torch.get_num_threads()


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpuinfo() -> dict[str, str]:
    """Of the first processor, where Linux tells."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = file.read_text().split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _commit() -> str | None:
    """Of the checkout that runs, if it is one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        ran = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return ran.stdout.strip() or None
