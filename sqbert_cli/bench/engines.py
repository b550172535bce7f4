"""The ways to run an encoder that are compared. Each takes the finished network and gives a function of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from sqbert_cli.batch import Batch
from sqbert_cli.bench import peers
from sqbert_cli.bench.cases import DtypeName, EngineName
from sqbert_cli.bench.peers import TORCH_DTYPES, Forward
from sqbert_cli.engines.packed import pack
from sqbert_cli.model.device import computes_bfloat16
from sqbert_cli.model.network import Network


def _ours(network: Network, dtype: DtypeName, example: Batch, threads: int, *, packed: bool) -> Forward:
    encoder = copy.deepcopy(network.transformer).to(TORCH_DTYPES[dtype])
    if packed:
        pack(encoder)
    return lambda batch: encoder(*batch.inputs())


@dataclass(frozen=True)
class Engine:
    name: EngineName
    dtypes: tuple[DtypeName, ...]
    prepare: Callable[[Network, DtypeName, Batch, int], Forward]
    """Network in float32, precision, a batch of the shape to come, threads."""
    needs: tuple[str, ...] = ()
    """Packages beside ours."""

    def here(self, dtypes: Sequence[str] | None) -> list[DtypeName]:
        """Those of `dtypes` (none given: of all) in which it can compute on this machine."""
        return [dtype for dtype in self.dtypes if dtype in (dtypes or self.dtypes) and self.missing(dtype) is None]

    def missing(self, dtype: DtypeName) -> str | None:
        """Why it cannot run here."""
        for package in self.needs:
            if find_spec(package) is None:
                return f"needs `{package}`: pip install 'sqbert[bench]'"
        if dtype == "bfloat16" and not computes_bfloat16():
            return "needs a processor with AVX-512 bf16"
        return None


HALF: tuple[DtypeName, ...] = ("float32", "bfloat16")
ENGINES = {
    engine.name: engine
    for engine in (
        Engine("sqbert", HALF, partial(_ours, packed=True)),
        Engine("sqbert-plain", HALF, partial(_ours, packed=False)),
        Engine("sqbert-openvino", HALF, peers.own_openvino, ("openvino",)),
        Engine("transformers", HALF, peers.eager, ("transformers",)),
        Engine("transformers-compile", HALF, peers.compiled, ("transformers",)),
        Engine("onnxruntime", ("float32", "int8"), peers.onnxruntime, ("transformers", "onnx", "onnxruntime")),
        Engine("openvino", HALF, peers.openvino, ("transformers", "openvino")),
    )
}
