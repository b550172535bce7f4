"""Steps: their rate, their memory, what they move, and which examples they are of."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.training.examples import label_weights
from sqbert_cli.training.finetune import finetune, with_heads
from sqbert_cli.training.heads import network_with_heads
from sqbert_cli.training.optimise import MicroBatch, make_trainer, optimise
from sqbert_cli.training.run import Run
from sqbert_cli.training.sampler import Sampler
from sqbert_cli.training.settings import FinetuneSettings, OptimiserSettings
from tests.toys import toy_dataset


def test_a_label_that_every_example_has_still_weighs(tiny_model: Path) -> None:
    head = HeadConfig(name="h", kind="sequence", labels=("a", "b"), problem_type="multi_label_classification")
    weights = label_weights(torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), head)
    assert weights is not None
    assert weights.tolist() == pytest.approx([1 / 3, 2.0])


def test_a_loss_that_is_no_number_ends_the_run(tiny_model: Path, tmp_path: Path) -> None:
    dataset = toy_dataset()
    settings = FinetuneSettings(batch_size=4, max_length=32)
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
    next(student.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(SqbertError, match="step 1: the loss is nan") as caught:
        list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))
    assert "--learning-rate" in str(caught.value.hint)


def test_a_gradient_that_is_no_number_leaves_the_weights_as_they_were(tiny_model: Path) -> None:
    network = read_checkpoint(tiny_model).network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def losses(step: int) -> Iterator[MicroBatch]:
        loss = torch.stack([parameter.sum() for parameter in network.parameters()]).sum()
        loss.register_hook(lambda slope: slope * math.inf)
        yield MicroBatch(loss, 1)

    trainer = make_trainer(network, OptimiserSettings(learning_rate=1e-3), 10)
    with pytest.raises(SqbertError, match=r"step 1: the loss is .*, its gradient's length (inf|nan)"):
        list(optimise(trainer, losses))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_step_that_does_not_fit_is_told(tiny_model: Path) -> None:
    def losses(step: int) -> Iterator[MicroBatch]:
        raise torch.OutOfMemoryError

    trainer = make_trainer(read_checkpoint(tiny_model).network, OptimiserSettings(learning_rate=1e-3), 10)
    with pytest.raises(SqbertError, match="step 1 does not fit") as caught:
        list(optimise(trainer, losses))
    assert "--accumulation" in str(caught.value.hint)


def test_only_the_encoders_embeddings_have_a_rate_of_their_own(tiny_model: Path) -> None:
    head = HeadConfig(name="embeddings", kind="sequence", labels=("a", "b"))
    network = network_with_heads(read_checkpoint(tiny_model), [head], dropout=0, seed=1).network
    make_trainer(network, OptimiserSettings(learning_rate=1e-3, embedding_rate=0), 10)
    assert {name.split(".")[1] for name, one in network.named_parameters() if not one.requires_grad} == {"embeddings"}
    assert all(parameter.requires_grad for parameter in network.heads.parameters())


def test_frozen_embeddings_stay_and_biases_and_norms_do_not_decay(tiny_model: Path) -> None:
    network = read_checkpoint(tiny_model).network
    trainer = make_trainer(network, OptimiserSettings(learning_rate=1e-3, embedding_rate=0), 10)
    decay = {
        id(parameter): group["weight_decay"]
        for group in trainer.optimiser.param_groups
        for parameter in group["params"]
    }
    for name, parameter in network.named_parameters():
        if "embeddings" in name:
            assert not parameter.requires_grad
            assert id(parameter) not in decay
        else:
            plain = name.endswith("bias") or "norm" in name.lower()
            assert decay[id(parameter)] == (0 if plain else 0.01), name


FAULTS = """
import platform, resource, torch
from sqbert_cli.model.device import keep_freed_memory
keep_freed_memory()
faults = []
for _ in range(24):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(platform.libc_ver()[0] or "none", *faults)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_memory_that_a_step_frees_serves_the_next() -> None:
    ended = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60)
    libc, first, *others = ended.stdout.split()
    if libc == "glibc":  # the heap may grow for some rounds more; then half of what one round takes is for noise
        assert sum(map(int, others[-12:])) < int(first) / 2


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    layer = torch.nn.Linear(1, 1)
    trainer = make_trainer(layer, OptimiserSettings(learning_rate=1.0, warmup_fraction=0.2), 10)
    assert [trainer.rate(step) for step in range(10)] == pytest.approx(
        [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    )


def test_each_epoch_shows_every_example_once_and_differently() -> None:
    sampler = Sampler(tuple(range(103)), 10, 42)
    epochs = [[row for step in range(11) for row in sampler.batch(epoch * 11 + step)] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(103))
    assert epochs[0] != epochs[1]
    assert list(Sampler(tuple(range(103)), 10, 42).batch(15)) == list(sampler.batch(15))


def test_no_text_makes_up_a_step_alone_nor_always_with_the_same_others() -> None:
    assert {len(Sampler([1] * 1_601, 32, 42).batch(step)) for step in range(51)} == {31, 32}
    sampler = Sampler(tuple(range(20, 341)), 32, 42)
    epochs = [[set(sampler.batch(epoch * 11 + step)) for step in range(11)] for epoch in range(4)]
    assert {len(batch) for epoch in epochs for batch in epoch} <= {29, 30}
    with_the_longest = [next(batch for batch in epoch if 320 in batch) for epoch in epochs]
    assert len(set(map(frozenset, with_the_longest))) == 4
    assert max(max(batch) - min(batch) for epoch in epochs for batch in epoch) < 110
