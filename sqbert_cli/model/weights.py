"""A network as tensors under their names on disk, and back, with every name and shape accounted for.

Files are opened in `tensors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, SqueezeBertConfig
from sqbert_cli.model.names import IGNORED, head_to_disk, to_bert, to_reference
from sqbert_cli.model.network import Network

State = dict[str, Tensor]
LISTED = 50
"""Of more tensors that do not fit, so many are named."""


def to_disk(network: Network, heads: Sequence[HeadConfig]) -> State:
    """Return the tensors of a network under the names that transformers gives them."""
    renamed = {head_to_disk(name, heads): tensor for name, tensor in network.state_dict().items()}
    if network.config.model_type == "squeezebert":
        return {name: tensor.contiguous() for name, tensor in renamed.items()}
    return {
        to_bert(name): (tensor.squeeze(-1) if tensor.ndim == 3 else tensor).contiguous()
        for name, tensor in renamed.items()
    }


def in_precision(network: Network, dtype: torch.dtype) -> Network:
    """Return a copy; what tells numbers stays in float32. Raises `SqbertError` where layers are packed."""
    network.state_dict()  # which says so; copying would not
    return deepcopy(network).to(dtype)


def from_disk(config: SqueezeBertConfig, heads: Sequence[HeadConfig], state: State) -> Network:
    """Build a network from tensors named as by `reference_names`.

    Raises `SqbertError` that lists every missing, unexpected and misshaped tensor.
    What is in half precision becomes float32.
    """
    with torch.device("meta"):  # shapes without memory: a config may promise more than there is
        network = Network(config, heads)
    expected = {head_to_disk(name, heads): (name, tensor) for name, tensor in network.state_dict().items()}
    shaped = {name: _with_shape(tensor, expected[name][1]) for name, tensor in state.items() if name in expected}
    problems = [f"missing {name}" for name in expected if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in expected and not IGNORED.search(name)]
    problems += [
        f"misshaped {name}: {tuple(tensor.shape)}, expected {tuple(expected[name][1].shape)}"
        for name, tensor in shaped.items()
        if tensor.shape != expected[name][1].shape
    ]
    if problems:
        more = [f"and {len(problems) - LISTED:,} more"] if len(problems) > LISTED else []
        raise SqbertError("the weights do not fit `config.json`:\n  " + "\n  ".join(sorted(problems)[:LISTED] + more))
    _take_memory(network)
    network.load_state_dict({expected[name][0]: tensor for name, tensor in shaped.items()})
    return network.eval()


def reference_names(state: State) -> State:
    """Rename the tensors of any supported file as the reference names them."""
    return {to_reference(name): tensor for name, tensor in state.items()}


def _take_memory(network: Network) -> None:
    """As `to_empty` does for parameters (there are no buffers), which takes a third of a second to import for it."""
    try:
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                memory = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu")
                setattr(module, name, nn.Parameter(memory, parameter.requires_grad))
    except RuntimeError as error:  # what torch raises when there is none
        raise SqbertError(f"a model of the sizes in `config.json` does not fit into memory: {error}") from error


def _with_shape(tensor: Tensor, expected: Tensor) -> Tensor:
    """A dense layer (out, in) is a convolution (out, in, 1)."""
    is_dense = (*tensor.shape, 1) == tuple(expected.shape)
    return tensor.unsqueeze(-1) if is_dense else tensor
