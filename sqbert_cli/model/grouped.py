"""The product of a grouped position-wise layer: the paper's convolution of kernel size 1 (section 3).

Letters in shapes: B texts of a batch, T tokens, N = B * T, G groups.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def grouped_linear(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """*Shapes:* (B, T, in), (G, in/G, out/G), (G, 1, out/G) -> (B, T, out)."""
    if hidden.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        rows = hidden.flatten(0, 1).to(dtype)
        product = _GroupByGroup.apply(rows, weight.to(dtype), bias.to(dtype))  # type: ignore[no-untyped-call]
        return product.unflatten(0, hidden.shape[:2])
    if hidden.device.type == "cuda":
        return _dense(hidden, weight, bias)
    return batched(hidden, weight, bias)


def batched(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """All groups in one product. *Shapes:* as `grouped_linear`."""
    batch, length, _ = hidden.shape
    grouped = hidden.reshape(batch * length, weight.shape[0], -1).transpose(0, 1)  # (G, N, in/G)
    product = torch.baddbmm(bias, grouped, weight)  # (G, N, out/G)
    return product.transpose(0, 1).reshape(batch, length, -1)  # (B, T, out)


def _dense(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One product, with zeros between the groups: on a GPU that costs less than the copies around small products."""
    dense = weight[0] if len(weight) == 1 else torch.block_diag(*weight)  # (in, out)
    return nn.functional.linear(hidden, dense.t(), bias.flatten())


class _GroupByGroup(torch.autograd.Function):
    """The same for training in bfloat16 on a processor, where one batched product copies all that it reads and writes.

    Each group's product reads and writes its own columns where they are.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """*Shapes:* (N, in), (G, in/G, out/G), (G, 1, out/G) -> (N, out)."""
        ctx.save_for_backward(rows, weight)
        groups = len(weight)
        product = rows.new_empty(len(rows), bias.numel())
        for group, (ours, out) in enumerate(zip(rows.chunk(groups, 1), product.chunk(groups, 1), strict=True)):
            torch.addmm(bias[group], ours, weight[group], out=out)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """*Shapes:* (N, out) -> those of `forward`'s three."""
        rows, weight = ctx.saved_tensors
        groups = len(weight)
        of_rows, of_weight = torch.empty_like(rows), torch.empty_like(weight)
        columns = (tensor.chunk(groups, 1) for tensor in (rows, slope, of_rows))
        for group, (ours, theirs, out) in enumerate(zip(*columns, strict=True)):
            torch.mm(theirs, weight[group].t(), out=out)
            torch.mm(ours.t(), theirs, out=of_weight[group])
        return of_rows, of_weight, slope.sum(0).view(groups, 1, -1)
