"""`sqbert classify` gives the scores of transformers' text-classification pipeline."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
import transformers

from tests.conftest import run_sqbert

WORDS = (
    "the a film was is not good bad very and but it i loved hated great awful boring , . ! unlikely xyzzy Ünïcödé 日本"
)


@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
def test_scores_equal_those_of_the_pipeline_on_texts_of_every_length(
    family: str, vocabulary: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 120, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
             "intermediate_size": 128, "num_labels": 3, "initializer_range": 0.4}  # fmt: skip
    if family == "SqueezeBert":
        sizes["embedding_size"] = 64
    model = getattr(transformers, f"{family}ForSequenceClassification")(
        getattr(transformers, f"{family}Config")(**sizes)
    )
    tokenizer = transformers.BertTokenizerFast(vocab=str(vocabulary / "vocab.txt"))
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS.split(), k=1 + 2 * number)) for number in range(200)]
    texts = [text for text in texts if len(tokenizer(text)["input_ids"]) <= 512]
    while len(texts) < 200:
        texts.append(" ".join(draw.choices(["the", "film", "was", "good", "bad"], k=draw.randint(300, 510))))
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert min(lengths) < 10
    assert max(lengths) > 500
    pipeline = transformers.pipeline("text-classification", model=str(tmp_path / "model"), top_k=None, dtype="float32")
    lines = "\n".join(json.dumps({"text": text}) for text in texts)
    ran = run_sqbert(
        "classify",
        "--model",
        tmp_path / "model",
        "--all-scores",
        "--dtype",
        "float32",
        "--format",
        "jsonl",
        stdin=lines,
    )
    assert (ran.status, ran.err) == (0, "")
    spread = set()
    for line, theirs in zip(ran.out.splitlines(), pipeline(texts), strict=True):
        ours = json.loads(line)["scores"]
        assert ours == pytest.approx({row["label"]: row["score"] for row in theirs}, abs=1e-4)
        spread.add(round(ours["LABEL_0"], 2))
    assert len(spread) > 10  # a model that always says the same would prove nothing
