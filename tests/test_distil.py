"""What a student takes over from its teacher: weights, their order, states, relations."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.weights import from_disk, reference_names, to_disk
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.arrange import arranged, choose_arrangement
from sqbert_cli.training.distil import (
    diagonal_blocks,
    layer_variances,
    matched_layers,
    relation_loss,
    states_loss,
    student_of,
)
from tests.toys import CPU


def test_relations_are_alike_between_equals_whatever_their_widths(make_model: Callable[..., Path]) -> None:
    teacher = read_checkpoint(make_model(model_type="bert", hidden_size=48, num_attention_heads=6))
    student = read_checkpoint(make_model(model_type="bert"))
    batch = collate([Window([2, 5, 6, 7, 3], [0] * 5), Window([2, 9, 3], [0] * 3)], 0, CPU)

    def loss(one: Checkpoint, other: Checkpoint) -> torch.Tensor:
        ours, theirs = one.network.transformer, other.network.transformer
        return relation_loss(
            ours, theirs, ours.hidden_states(*batch.inputs()), theirs.hidden_states(*batch.inputs()), batch
        )

    assert loss(student, student).item() == pytest.approx(0, abs=1e-6)
    apart = loss(student, teacher)
    assert apart.item() > 0.01
    apart.backward()
    assert student.network.transformer.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_diagonal_blocks_are_the_columns_of_the_own_group() -> None:
    dense = torch.arange(24).view(4, 6)
    assert diagonal_blocks(dense, 3).tolist() == [[0, 1, 2], [6, 7, 8], [15, 16, 17], [21, 22, 23]]


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (2, 2, [(1, 1), (2, 2)]),
        (4, 2, [(2, 1), (4, 2)]),
        (1, 3, [(1, 3)]),
        (3, 2, [(1, 1), (3, 2)]),
        (3, 4, [(1, 2), (2, 3), (3, 4)]),
    ],
)
def test_layers_of_equal_depth_are_matched(student: int, teacher: int, pairs: list[tuple[int, int]]) -> None:
    assert matched_layers(student, teacher) == pairs


def test_a_student_of_a_block_diagonal_teacher_is_its_equal(make_model: Callable[..., Path]) -> None:
    dense = read_checkpoint(make_model(model_type="bert"))
    state = reference_names(to_disk(dense.network, dense.heads))
    for name, tensor in state.items():
        if re.search(r"attention\.(query|key|value)\.weight|(intermediate|output)\.conv1d\.weight", name):
            rows, columns = (size // 4 for size in tensor.shape)
            tensor *= torch.block_diag(*[torch.ones(rows, columns)] * 4)
    teacher = replace(dense, network=from_disk(dense.config, dense.heads, state))
    batch = collate([Window([2, 5, 6, 7, 3], [0] * 5)], 0, torch.device("cpu"))
    ours, theirs = student_of(teacher).network.transformer, teacher.network.transformer
    states, variances = (
        (ours.hidden_states(*batch.inputs()), theirs.hidden_states(*batch.inputs())),
        layer_variances(theirs, batch),
    )
    loss = states_loss(*states, batch, variances)
    assert loss.item() < 1e-10


def dense_state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return reference_names(to_disk(checkpoint.network, checkpoint.heads))


def test_heads_and_neurons_in_another_order_compute_the_same(make_model: Callable[..., Path]) -> None:
    dense = read_checkpoint(make_model(model_type="bert"))
    state, grouped = (
        dense_state(dense),
        replace(dense.config, model_type="squeezebert", q_groups=4, intermediate_groups=4),
    )
    arrangement = choose_arrangement(state, dense.config, grouped)
    assert arrangement.channels.tolist() == list(range(32))
    assert any(order.tolist() != sorted(order.tolist()) for order in (*arrangement.heads, *arrangement.neurons))
    again = from_disk(dense.config, dense.heads, state | arranged(state, arrangement))
    batch = collate([Window([2, 5, 6, 7, 3], [0] * 5)], 0, CPU)
    for before, after in zip(
        dense.network.transformer.hidden_states(*batch.inputs()),
        again.transformer.hidden_states(*batch.inputs()),
        strict=True,
    ):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)


def test_the_order_keeps_more_weight_within_the_groups(make_model: Callable[..., Path]) -> None:
    dense = read_checkpoint(make_model(model_type="bert"))
    state = dense_state(dense)
    config = replace(dense.config, model_type="squeezebert", q_groups=4, intermediate_groups=4)

    def kept(tensors: dict[str, torch.Tensor]) -> float:
        weight = tensors["transformer.encoder.layers.0.intermediate.conv1d.weight"]
        return diagonal_blocks(weight, 8).square().sum().item()

    assert kept(arranged(state, choose_arrangement(state, dense.config, config))) > 1.1 * kept(state)


def test_a_student_may_be_narrower_than_its_teacher(make_model: Callable[..., Path]) -> None:
    teacher = read_checkpoint(
        make_model(model_type="bert", hidden_size=64, num_attention_heads=8, intermediate_size=128)
    )
    student = student_of(teacher, layers=1, hidden_size=32)
    assert (student.config.hidden_size, student.config.num_attention_heads, student.config.intermediate_size) == (
        32,
        4,
        64,
    )
    with pytest.raises(SqbertError, match="cannot be cut out"):
        student_of(teacher, hidden_size=128)
