"""What the engines make of a finished network computes what it computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sqbert_cli import api
from sqbert_cli.checkpoint import write_checkpoint
from sqbert_cli.engines.packed import PackedBlock, pack
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.device import computes_bfloat16
from sqbert_cli.model.encoder import Encoder
from sqbert_cli.model.network import Network, initialise
from tests.conftest import run_sqbert

SIZES = {"vocab_size": 50, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
GROUPS = {
    "the paper's": {},
    "none": dict.fromkeys(
        ("q_groups", "k_groups", "v_groups", "post_attention_groups", "intermediate_groups", "output_groups"), 1
    ),
    "in all layers": {"post_attention_groups": 2},
    "other ones in the feed-forward pair": {"intermediate_groups": 2, "output_groups": 4},
}


def encoder(dtype: torch.dtype = torch.float32, **groups: int) -> Encoder:
    network = Network(SqueezeBertConfig(**{**SIZES, **groups}))  # type: ignore[arg-type]
    initialise(network, 0.3, torch.Generator().manual_seed(0))
    return network.transformer.to(dtype).eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Three texts of 9, 4 and 1 tokens."""
    ids = torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).long()
    return ids * mask, mask, (torch.arange(9) > 5).long() * mask


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_packed_layers_compute_the_same(groups: dict[str, int]) -> None:
    plain, packed = encoder(**groups), encoder(**groups)
    pack(packed)
    assert all(isinstance(layer, PackedBlock) for layer in packed.encoder.layers)
    real = inputs()[1].bool()
    with torch.inference_mode():
        torch.testing.assert_close(packed(*inputs())[real], plain(*inputs())[real], atol=1e-5, rtol=1e-5)


def test_group_counts_that_cannot_be_fused_stay_as_they_are() -> None:
    packed = encoder(q_groups=2)
    pack(packed)
    assert not any(isinstance(layer, PackedBlock) for layer in packed.encoder.layers)
    with torch.inference_mode():
        assert torch.equal(packed(*inputs()), encoder(q_groups=2)(*inputs()))


@pytest.mark.skipif(not computes_bfloat16(), reason="the processor does not multiply in bfloat16")
def test_packed_layers_in_bfloat16_are_near() -> None:
    plain, packed = encoder(), encoder(torch.bfloat16)
    pack(packed)
    real = inputs()[1].bool()
    with torch.inference_mode():
        ours, theirs = packed(*inputs())[real].float(), plain(*inputs())[real]
    assert (ours - theirs).norm() / theirs.norm() < 0.02


def test_half_precision_on_a_processor_is_left_alone() -> None:
    packed = encoder(torch.float16)
    pack(packed)
    assert not any(isinstance(layer, PackedBlock) for layer in packed.encoder.layers)


def test_every_kind_of_answer_is_the_same(many_heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(checkpoint_of: Callable[..., api.Checkpoint]) -> list[list[float]]:
        checkpoint = checkpoint_of(str(many_heads))
        texts = ["a good film", "it was not boring , and i loved every one of the three"]
        return [[result.score] for result in api.classify(checkpoint, texts)] + list(
            map(list, (result.vector for result in api.embed(checkpoint, texts)))
        )

    assert isinstance(api.load(str(many_heads)).network.transformer.encoder.layers[0], PackedBlock)
    packed = rows(api.load)
    monkeypatch.setattr(api, "pack", lambda encoder: None)
    plain = rows(api.load)
    for ours, theirs in zip(packed, plain, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_packed_layers_are_not_saved_in_part(many_heads: Path, tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match="packed layers cannot be saved"):
        write_checkpoint(api.load(str(many_heads)), tmp_path)


def test_a_command_answers_in_bfloat16(tiny_model: Path) -> None:
    ran = run_sqbert("classify", "good film", "--model", tiny_model, "--dtype", "bfloat16")
    assert ran.status == 0
    assert '"label"' in ran.out
