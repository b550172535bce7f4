"""Arithmetic of an encoder by stage, as the paper's Table 1 has it; two FLOPs for each multiplication with addition."""

from __future__ import annotations

from sqbert_cli.model.config import SqueezeBertConfig


def encoder_flops(config: SqueezeBertConfig, batch_size: int, length: int) -> dict[str, int]:
    """Return the FLOPs of each stage; norms, softmax, GELU and sums are not counted."""
    width, inner, tokens = config.hidden_size, config.intermediate_size, batch_size * length
    square, oblong = 2 * tokens * width * width, 2 * tokens * width * inner
    layer = {
        "query, key, value": sum(square // groups for groups in (config.q_groups, config.k_groups, config.v_groups)),
        "attention": 2 * 2 * tokens * length * width,
        "attention's output": square // config.post_attention_groups,
        "feed-forward": oblong // config.intermediate_groups + oblong // config.output_groups,
    }
    return {"embeddings": 0} | {stage: config.num_hidden_layers * flops for stage, flops in layer.items()}


def gflop(config: SqueezeBertConfig, batch_size: int, length: int) -> float:
    return sum(encoder_flops(config, batch_size, length).values()) / 1e9
