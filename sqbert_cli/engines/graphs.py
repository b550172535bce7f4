"""A network as one file that others run: ONNX, TorchScript, or a program of `torch.export`.

A grouped layer becomes one batched MatMul: runtimes are slow at grouped convolutions, and cannot quantise them well.
Files are made in memory: where a disk is full, torch's own writers end the process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sqbert_cli.errors import SqbertError

Inputs = tuple[Tensor, Tensor, Tensor]
Run = Callable[[Inputs], Tensor]
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
OPSET = 17
"""The first with LayerNormalization."""
WEIGHT_BYTES = 1024
"""A constant of so many bytes is a weight."""


@dataclass(frozen=True)
class Graph:
    """What is written: a module of three inputs (B, T), frozen, and the name and the axes of its only output."""

    module: nn.Module
    example: Inputs
    """B and T at least 2: a size of 1 would become a constant."""
    output: str
    output_axes: tuple[str, ...]
    """Names of the first axes, those of any size: `batch`, and `length` where there is one."""
    max_length: int
    about: Mapping[str, str]
    """Texts that go along inside the file, by name."""


def write_onnx(graph: Graph, file: Path) -> Run:
    """Write an ONNX file of opset `OPSET`, and return what ONNX Runtime makes of it. Needs the extra `export`."""
    _need("onnx", "onnxruntime")
    import onnx
    import onnxruntime as ort

    axes = {name: {0: "batch", 1: "length"} for name in INPUTS}
    axes[graph.output] = dict(enumerate(graph.output_axes))
    model = onnx.load_model_from_string(trace_onnx(graph.module, graph.example, graph.output, axes))
    _name_weights(model.graph, onnx)
    onnx.helper.set_model_props(model, dict(graph.about))
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        return torch.from_numpy(session.run(None, dict(zip(INPUTS, (one.numpy() for one in inputs), strict=True)))[0])

    return run


def write_torchscript(graph: Graph, file: Path) -> Run:
    """Write what `torch.jit.load` reads, and return it, loaded."""
    content = BytesIO()
    with _quiet():
        traced = torch.jit.trace(graph.module, graph.example, check_trace=False)  # what comes back is compared anyway
        torch.jit.save(traced, content, _extra_files=dict(graph.about))
        file.write_bytes(content.getbuffer())
        loaded = torch.jit.load(str(file), map_location="cpu")
    return lambda inputs: loaded(*inputs)


def write_pt2(graph: Graph, file: Path) -> Run:
    """Write what `torch.export.load` reads, and return it, loaded."""
    from torch.export import Dim, export, load, save

    batch, length, content = Dim("batch"), Dim("length", max=graph.max_length), BytesIO()
    with _quiet():
        program = export(graph.module, graph.example, dynamic_shapes=tuple({0: batch, 1: length} for _ in INPUTS))
        save(program, content, extra_files=dict(graph.about))
        file.write_bytes(content.getbuffer())
        loaded: Any = load(str(file)).module()
    return lambda inputs: loaded(*inputs)


def trace_onnx(
    module: nn.Module, example: Inputs, output: str, axes: Mapping[str, Mapping[int, str]] | None = None
) -> bytes:
    """Return an ONNX file; without names for its `axes` it is of the one shape of `example`."""
    content: Any = BytesIO()  # the types know only files
    with _quiet():  # the exporter of old: the newer needs one more package, and gives nothing more here
        torch.onnx.export(
            module, example, content, input_names=INPUTS, output_names=[output], dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    return content.getvalue()


def _need(*packages: str) -> None:
    if missing := [package for package in packages if find_spec(package) is None]:
        raise SqbertError(f"this needs {' and '.join(missing)}", hint="pip install 'sqbert[export]'")


def _name_weights(graph: Any, onnx: Any) -> None:
    """Make initialisers of the weights, as tools expect them; tracing leaves them among the constants."""
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        tensor = node.attribute[0].t
        if len(tensor.raw_data) >= WEIGHT_BYTES:
            named = onnx.TensorProto()
            named.CopyFrom(tensor)
            named.name = node.output[0]
            graph.initializer.append(named)
            graph.node.remove(node)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' warnings to those who develop them, and without gradients."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


WRITERS: dict[str, Callable[[Graph, Path], Run]] = {
    "onnx": write_onnx,
    "torchscript": write_torchscript,
    "pt2": write_pt2,
}
