"""LAMB (You et al. 2020, algorithm 2), the optimizer of the paper's pretraining; torch has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Adam with decoupled weight decay, whose step in each tensor is as long as the tensor's own norm has it.

    A tensor whose weights or whose update are all 0 takes Adam's step, and so does a group that is not `adapted`: that
    is for biases and norms. (A bias that starts at 0 would else stay near it for thousands of steps.)
    Queries, keys and values of a layer are one tensor in this network, and so have one norm.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adapted": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._adam_update(parameter, group)
                    if group["adapted"]:
                        ratio = parameter.norm() / update.norm()
                        update *= torch.where((ratio > 0) & ratio.isfinite(), ratio, 1.0)
                    parameter.sub_(update, alpha=group["lr"])

    def _adam_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        step = int(state["step"])
        mean = state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        return mean / (1 - beta1**step) / root + group["weight_decay"] * parameter
