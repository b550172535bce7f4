"""The same network in other libraries, with the same weights under their names (by the table of `model/weights.py`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from sqbert_cli.batch import Batch
from sqbert_cli.bench.cases import DtypeName
from sqbert_cli.engines.graphs import INPUTS, trace_onnx
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.network import Network
from sqbert_cli.model.weights import to_disk

Forward = Callable[[Batch], Tensor]
"""*Shapes:* three times (B, T) -> (B, T, C)."""
TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TheirEncoder(nn.Module):
    """transformers' own model with our weights and our arguments."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        import transformers

        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        config = network.config.to_dict()
        if config.pop("model_type") == "bert":
            model: Any = transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False)
            prefix = "bert."
        else:
            model, prefix = transformers.SqueezeBertModel(transformers.SqueezeBertConfig(**config)), "transformer."
        state = {name.removeprefix(prefix): tensor for name, tensor in to_disk(network, ()).items()}
        missing, unexpected = model.load_state_dict(state, strict=False)
        if unexpected or any(not name.startswith("pooler.") for name in missing):
            raise SqbertError(f"transformers names the weights otherwise: {', '.join([*missing, *unexpected][:5])}")
        self.model = model.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """*Shapes:* (B, T) three times -> (B, T, C)."""
        return self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state


def eager(network: Network, dtype: DtypeName, example: Batch, threads: int) -> Forward:
    model = TheirEncoder(network).to(TORCH_DTYPES[dtype])
    return lambda batch: model(*batch.inputs())


def compiled(network: Network, dtype: DtypeName, example: Batch, threads: int) -> Forward:
    import torch._dynamo.config as dynamo

    dynamo.recompile_limit = dynamo.accumulated_recompile_limit = 10_000  # beyond it a model silently runs as it is
    dynamo.fail_on_recompile_limit_hit = True
    model = torch.compile(TheirEncoder(network).to(TORCH_DTYPES[dtype]), dynamic=False)
    return lambda batch: model(*batch.inputs())


def own_openvino(network: Network, dtype: DtypeName, example: Batch, threads: int) -> Forward:
    return _openvino(network.transformer, dtype, example, threads)


def openvino(network: Network, dtype: DtypeName, example: Batch, threads: int) -> Forward:
    return _openvino(TheirEncoder(network), dtype, example, threads)


def _openvino(module: nn.Module, dtype: DtypeName, example: Batch, threads: int) -> Forward:
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing
        graph = openvino.convert_model(
            module, example_input=example.inputs(), input=[tuple(one.shape) for one in example.inputs()]
        )
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    return lambda batch: torch.from_numpy(request.infer([one.numpy() for one in batch.inputs()])[0].copy())


def onnxruntime(network: Network, dtype: DtypeName, example: Batch, threads: int) -> Forward:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(trace_onnx(TheirEncoder(network), example.inputs(), "hidden"))
        if dtype == "int8":
            file = _quantised(file)
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(batch: Batch) -> Tensor:
        feed = dict(zip(INPUTS, (one.numpy() for one in batch.inputs()), strict=True))
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def _quantised(file: Path) -> Path:
    """Dynamically: weights in int8 for each channel, activations as they come."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    smaller = file.with_name("int8.onnx")
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(str(file), str(smaller), per_channel=True, weight_type=QuantType.QInt8)
    finally:
        logging.disable(logging.NOTSET)
    return smaller
