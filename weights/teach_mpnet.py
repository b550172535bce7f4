"""Teach MPNet sentiment through transformers, so that it can teach: `python teach_mpnet.py MPNET GLUE OUTPUT`.

`sqbert finetune` trains networks of its own family only. Half an epoch of SST-2, bfloat16 products, 22 minutes on two
cores of a Zen 4.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

from sqbert_cli.tasks.dataset import Split
from sqbert_cli.tasks.glue import TASKS, glue_dataset

LABELS = TASKS["sst2"].labels
SHARE, BATCH, RATE, SEED = 0.55, 64, 5e-5, 42
"""SHARE: of the examples, each once."""
FROZEN = ("mpnet.embeddings.", *(f"mpnet.encoder.layer.{index}." for index in range(2)))


def examples(split: Split) -> list[tuple[str, int]]:
    return [(record.text, LABELS.index(str(record.gold))) for record in split.records]


def batches(some: Sequence[tuple[str, int]], rng: random.Random) -> Iterator[list[tuple[str, int]]]:
    """Texts of like length together, in random order."""
    ordered = sorted(some, key=lambda one: len(one[0]) + rng.random())
    starts = list(range(0, len(ordered), BATCH))
    rng.shuffle(starts)
    for start in starts:
        yield ordered[start : start + BATCH]


def scores(model: Any, tokenizer: Any, some: Sequence[tuple[str, int]]) -> torch.Tensor:
    inputs = tokenizer([text for text, _ in some], padding=True, truncation=True, max_length=128, return_tensors="pt")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(**inputs).logits.float()


def accuracy(model: Any, tokenizer: Any, dev: Sequence[tuple[str, int]]) -> float:
    model.eval()
    with torch.inference_mode():
        found = [scores(model, tokenizer, dev[n : n + BATCH]).argmax(-1) for n in range(0, len(dev), BATCH)]
    model.train()
    return float((torch.cat(found) == torch.tensor([label for _, label in dev])).float().mean())


def main(source: str, glue: Path, output: Path) -> None:
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    tokenizer = AutoTokenizer.from_pretrained(source)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: index for index, label in enumerate(LABELS)}}
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, dtype=torch.float32, **labels)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(FROZEN))
    data = glue_dataset("sst2", glue)
    train, dev = examples(data.train), examples(data.dev[0])
    some = rng.sample(train, round(len(train) * SHARE))
    steps = -(-len(some) // BATCH)
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=RATE, fused=True)
    schedule = get_linear_schedule_with_warmup(optimiser, round(steps * 0.08), steps)
    model.train()
    began = time.time()
    for step, batch in enumerate(batches(some, rng), 1):
        loss = torch.nn.functional.cross_entropy(scores(model, tokenizer, batch), torch.tensor([n for _, n in batch]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % 25 == 0 or step == steps:
            print(f"step {step} of {steps}, loss {loss.item():.3f}, {time.time() - began:.0f} s", flush=True)
        if step == steps // 2:
            print(f"accuracy on dev {accuracy(model, tokenizer, dev[:436]):.4f}", flush=True)
    print(f"accuracy on dev {accuracy(model, tokenizer, dev):.4f}", flush=True)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
