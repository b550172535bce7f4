"""To transformers and back: the same answers from its own classes, whole folders, nothing overwritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from sqbert_cli.checkpoint import read_checkpoint, write_checkpoint
from sqbert_cli.convert import convert
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.entities import find_entities
from sqbert_cli.predict.texts import classify
from sqbert_cli.records import Classification, Entities
from tests.conftest import run_sqbert

TEXTS = ["The film was GOOD!", "unlike it, very boring"]
HEADS = (
    HeadConfig(name="mood", kind="sequence", labels=("no", "maybe", "yes"), max_length=32),
    HeadConfig(name="stars", kind="sequence", labels=("score",), problem_type="regression"),
    HeadConfig(name="topics", kind="sequence", labels=("a", "b"), problem_type="multi_label_classification"),
    HeadConfig(name="names", kind="token", labels=("O", "B-PER", "I-PER"), scheme="IOB2"),
    HeadConfig(name="answers", kind="span"),
    HeadConfig(name="words", kind="masked_word"),
    HeadConfig(name="vectors", kind="vector"),
)
CLASSES = {
    "mood": "SequenceClassification",
    "stars": "SequenceClassification",
    "topics": "SequenceClassification",
    "names": "TokenClassification",
    "answers": "QuestionAnswering",
    "words": "MaskedLM",
}


@pytest.fixture(scope="module", params=["squeezebert", "bert"])
def model(request: pytest.FixtureRequest, make_model: Callable[..., Path]) -> Path:
    return make_model(heads=HEADS, model_type=request.param)


def opened(kind: str, folder: Path) -> tuple[Any, Any]:
    """Return the model of a folder as transformers has it, with every tensor accounted for, and its tokenizer."""
    loaded, report = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    return loaded, transformers.AutoTokenizer.from_pretrained(folder)


def theirs(kind: str, folder: Path) -> tuple[Tensor, dict[str, Tensor]]:
    loaded, tokenizer = opened(kind, folder)
    inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    with torch.no_grad():
        out = loaded(**inputs)
    return (torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits), inputs


@pytest.mark.parametrize("head", CLASSES)
def test_transformers_opens_each_head_and_answers_the_same(model: Path, tmp_path: Path, head: str) -> None:
    convert(str(model), tmp_path / "theirs", head=head)
    logits, inputs = theirs(f"AutoModelFor{CLASSES[head]}", tmp_path / "theirs")
    ours = read_checkpoint(model)
    order = ("input_ids", "attention_mask", "token_type_ids")
    with torch.no_grad():
        expected = ours.network(head, *(inputs[name] for name in order))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    (window,) = ours.tokenizer.windows(ours.tokenizer.encode(TEXTS[:1])[0], None, 64)
    assert inputs["input_ids"][0, : len(window.input_ids)].tolist() == window.input_ids


def test_the_config_is_that_of_transformers(model: Path, tmp_path: Path) -> None:
    convert(str(model), tmp_path / "theirs", head="mood")
    loaded, tokenizer = opened("AutoModelForSequenceClassification", tmp_path / "theirs")
    assert loaded.config.id2label == {0: "no", 1: "maybe", 2: "yes"}
    assert loaded.config.architectures == [type(loaded).__name__]
    assert loaded.dtype == torch.float32
    assert tokenizer.model_max_length == 32
    assert {"heads", "sqbert_version"}.isdisjoint(json.loads((tmp_path / "theirs/config.json").read_text()))
    vocabulary = (tmp_path / "theirs/vocab.txt").read_text().splitlines()
    assert tokenizer.convert_ids_to_tokens(range(len(vocabulary))) == vocabulary


def test_an_encoder_alone_is_their_base_model(make_model: Callable[..., Path], tmp_path: Path) -> None:
    for family in ("squeezebert", "bert"):
        folder = make_model(heads=(), model_type=family)
        convert(str(folder), tmp_path / family, "transformers")
        loaded, tokenizer = opened("AutoModel", tmp_path / family)
        inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = loaded(**inputs).last_hidden_state
            ours = read_checkpoint(folder).network.transformer(
                inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"]
            )
        torch.testing.assert_close(hidden, ours, atol=1e-5, rtol=1e-4)


def test_there_and_back_is_the_same_to_the_bit(model: Path, tmp_path: Path) -> None:
    convert(str(model), tmp_path / "theirs", head="mood")
    convert(str(tmp_path / "theirs"), tmp_path / "ours")
    config = json.loads((tmp_path / "ours/config.json").read_text())
    assert config["heads"]["sequence"]["labels"] == ["no", "maybe", "yes"]
    assert config["heads"]["sequence"]["max_length"] == 32
    one, other = (load_file(tmp_path / folder / "model.safetensors") for folder in ("theirs", "ours"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_numbers_far_from_nought_are_those_of_transformers_too(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = read_checkpoint(make_model(("score",), problem_type="regression"))
    with torch.no_grad():
        model.network.heads["test"].classifier.bias += 100_000  # type: ignore[union-attr,operator]
    write_checkpoint(model, tmp_path / "half", torch.float16)
    convert(str(tmp_path / "half"), tmp_path / "theirs", dtype="float16")
    numbers = [one.scores["score"] for one in classify(model, TEXTS) if isinstance(one, Classification)]
    assert theirs("AutoModelForSequenceClassification", tmp_path / "theirs")[0][:, 0].tolist() == pytest.approx(numbers)
    convert(str(tmp_path / "theirs"), tmp_path / "ours")
    kept = {name: tensor.dtype for name, tensor in load_file(tmp_path / "ours/model.safetensors").items()}
    assert {dtype for name, dtype in kept.items() if "classifier" not in name} == {torch.float16}


@pytest.mark.parametrize("labels", [["NOUN", "VERB", "X"], ["B-X", "I-X", "O"]])
def test_a_model_that_was_taught_other_tags_since_has_no_scheme(labels: list[str], model: Path, tmp_path: Path) -> None:
    convert(str(model), tmp_path / "theirs", head="names")
    config = json.loads((tmp_path / "theirs/config.json").read_text())
    config |= {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    (tmp_path / "theirs/config.json").write_text(json.dumps(config))
    assert read_checkpoint(tmp_path / "theirs").head("token").scheme is None


def test_entities_of_a_converted_model_are_the_same(model: Path, tmp_path: Path) -> None:
    convert(str(model), tmp_path / "theirs", head="names")
    convert(str(tmp_path / "theirs"), tmp_path / "ours")
    for folder in (tmp_path / "theirs", tmp_path / "ours"):
        assert read_checkpoint(folder).head("token").scheme == "IOB2"
    tags = [
        [one.tags for one in find_entities(read_checkpoint(folder), TEXTS * 4) if isinstance(one, Entities)]
        for folder in (model, tmp_path / "theirs", tmp_path / "ours")
    ]
    assert tags[0] == tags[1] == tags[2]


def test_words_that_are_told_by_other_numbers_than_the_embeddings_are_refused(model: Path, tmp_path: Path) -> None:
    convert(str(model), tmp_path / "theirs", head="words")
    file = tmp_path / "theirs/model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    save_file(tensors | {"cls.predictions.decoder.weight": tensors[name].clone()}, file)
    read_checkpoint(tmp_path / "theirs")
    save_file(tensors | {"cls.predictions.decoder.weight": tensors[name] + 1}, file)
    with pytest.raises(SqbertError, match=r"told by `cls.predictions.decoder.weight`, which differs"):
        read_checkpoint(tmp_path / "theirs")


def test_labels_that_are_only_counted_are_numbered(model: Path, tmp_path: Path) -> None:
    convert(str(model), tmp_path / "theirs", head="mood")
    file = tmp_path / "theirs/config.json"
    config = json.loads(file.read_text())
    del config["id2label"], config["label2id"]
    file.write_text(json.dumps(config | {"num_labels": 3}))
    assert read_checkpoint(tmp_path / "theirs").heads[0].labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    file.write_text(json.dumps(config | {"num_labels": "3"}))
    with pytest.raises(SqbertError, match="`num_labels` is '3'"):
        read_checkpoint(tmp_path / "theirs")


def test_a_model_of_one_head_has_the_scores_of_that_alone(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "whole")
    told = {"mood: dev.csv": {"metrics": {"accuracy": 0.5}}, "names: dev.conll": {"metrics": {"f1": 0.5}}}
    (tmp_path / "whole/training.json").write_text(json.dumps({"scores": told, "seconds": 1.5}))
    convert(str(tmp_path / "whole"), tmp_path / "one", "sqbert", head="names")
    assert json.loads((tmp_path / "one/training.json").read_text()) == {
        "scores": {"names: dev.conll": told["names: dev.conll"]}, "seconds": 1.5,
    }  # fmt: skip
    convert(str(tmp_path / "whole"), tmp_path / "all", "sqbert")
    assert json.loads((tmp_path / "all/training.json").read_text())["scores"] == told


def test_the_precision_is_chosen_or_what_loses_nothing(tiny_model: Path, tmp_path: Path) -> None:
    def dtypes(folder: str) -> set[torch.dtype]:
        return {tensor.dtype for tensor in load_file(tmp_path / folder / "model.safetensors").values()}

    convert(str(tiny_model), tmp_path / "half", "sqbert", "float16")
    convert(str(tmp_path / "half"), tmp_path / "still", "sqbert")
    convert(str(tmp_path / "half"), tmp_path / "theirs")
    assert [dtypes(name) for name in ("half", "still", "theirs")] == [{torch.float16}, {torch.float16}, {torch.float32}]
    large = read_checkpoint(tiny_model)
    with torch.no_grad():
        next(large.network.parameters()).fill_(1e6)
    write_checkpoint(large, tmp_path / "large")
    with pytest.raises(SqbertError, match="a weight of 1e\\+06 is beyond what float16 holds"):
        convert(str(tmp_path / "large"), tmp_path / "over", dtype="float16")
    assert not (tmp_path / "over").exists()


def test_what_cannot_be_written_is_said_and_nothing_appears(model: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    output = tmp_path / "out"
    for name, folder, head, problem in (
        (model, output, None, r"has several heads: `mood` \(whole texts\), `stars` \(whole texts\)"),
        (model, output, "nobody", "has no head `nobody`; it has: `mood`"),
        (model, output, "vectors", "transformers has no class for the head `vectors`"),
        (model, Path(), "mood", "is the folder you are in"),
        (model, full, "mood", "is there already"),
        (model, full / "mine.txt", "mood", "is there already"),
        (tmp_path, output, None, "is not a model folder"),
    ):
        with pytest.raises(SqbertError, match=problem):
            convert(str(name), folder, head=head)
    assert [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.rglob("*"))] == ["full", "full/mine.txt"]


def test_the_command_fills_an_empty_folder_and_no_other(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run_sqbert("models", "convert", tiny_model, tmp_path / "empty")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out)["to"] == "transformers"
    assert (tmp_path / "empty/vocab.txt").is_file()
    again = run_sqbert("models", "convert", tiny_model, tmp_path / "empty")
    assert (again.status, again.out) == (1, "")
    assert "is there already" in again.err
