"""Where the network runs and in which precision."""

from __future__ import annotations

import ctypes
import sys
from typing import get_args

import torch

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import DeviceName, DtypeName, TrainingDtypeName

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's `malloc.h`."""


def choose_device(name: DeviceName) -> torch.device:
    """`auto` is cuda, then mps, then cpu. For cuda torch's attention is set up too, for the whole process."""
    available: dict[DeviceName, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, ready in available.items() if ready)
    if not available.get(name):
        problem = "is not available here" if name in available else f"is none of {', '.join(available)}"
        raise SqbertError(f"device `{name}` {problem}", hint="use `auto`")
    if name == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)  # on new GPUs it is preferred, and plans anew for each shape
    return torch.device(name)


def choose_dtype(name: DtypeName, device: torch.device) -> torch.dtype:
    """`auto` is float32, but bfloat16 on a GPU that computes in it."""
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if name not in get_args(DtypeName):
        raise SqbertError(f"no precision `{name}`", hint=f"expected {', '.join(get_args(DtypeName))}")
    return getattr(torch, name)


def use_threads(count: int | None) -> None:
    """None leaves it to torch: one for each core."""
    if count is not None:
        torch.set_num_threads(count)


def keep_freed_memory() -> None:
    """Have the C library keep what one step frees for the next, for the rest of the process.

    Taking it back from the kernel, page by page, costs up to a quarter of a step. Elsewhere than on Linux with glibc
    nothing changes.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def computes_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16, rather than only keeping numbers in it."""
    return torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()


def training_dtype(name: TrainingDtypeName, device: torch.device) -> torch.dtype:
    """Precision of the products while training (weights stay in float32): bfloat16 where the processor has it."""
    if name == "auto" and device.type == "cpu":
        return torch.bfloat16 if computes_bfloat16() else torch.float32
    return choose_dtype(name, device)
