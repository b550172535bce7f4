"""`fill-mask`, `classify --labels`, `embed`: what needs no training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sqbert_cli import classify_any, embed, fill_masks, find_entities
from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.any_labels import default_method, nli_head
from sqbert_cli.predict.vectors import text_vectors
from sqbert_cli.records import BadRecord, Classification, Embedded, Filled, Record
from sqbert_cli.training.heads import network_with_heads
from tests.conftest import run_sqbert
from tests.test_ner import checkpoint_of

MASKED = "a [MASK] film was [MASK] ."


def test_each_mask_gets_the_words_that_the_network_gives_it(many_heads: Path) -> None:
    checkpoint = checkpoint_of(many_heads)
    (result,) = fill_masks(checkpoint, [MASKED], top_k=3)
    assert isinstance(result, Filled)
    assert [(words[0].start, words[0].end) for words in result.masks] == [(2, 8), (18, 24)]
    pieces = checkpoint.tokenizer.pieces
    ids = torch.tensor([pieces.encode(MASKED).ids])
    ids = torch.tensor([[checkpoint.tokenizer.cls_id, *pieces.encode(MASKED, add_special_tokens=False).ids,
                         checkpoint.tokenizer.sep_id]])  # fmt: skip
    with torch.inference_mode():
        chances = checkpoint.network("words", ids, torch.ones_like(ids), torch.zeros_like(ids)).softmax(-1)[0]
    for place, words in zip((2, 5), result.masks, strict=True):
        best = chances[place].topk(3)
        assert [word.text for word in words] == [pieces.id_to_token(int(one)) for one in best.indices]
        assert [word.score for word in words] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_masks_far_apart_are_each_filled_once(many_heads: Path) -> None:
    text = "[MASK] " + "the film was bad " * 60 + "[MASK]"
    (result,) = fill_masks(checkpoint_of(many_heads), [text])
    assert isinstance(result, Filled)
    assert [text[words[0].start : words[0].end] for words in result.masks] == ["[MASK]", "[MASK]"]


def test_targets_are_compared_in_the_order_of_their_scores(many_heads: Path) -> None:
    checkpoint = checkpoint_of(many_heads)
    (result,) = fill_masks(checkpoint, ["a [MASK] film"], targets=["good", "bad", "film"])
    assert isinstance(result, Filled)
    assert {word.text for word in result.masks[0]} == {"good", "bad", "film"}
    assert [w.score for w in result.masks[0]] == sorted((w.score for w in result.masks[0]), reverse=True)
    with pytest.raises(SqbertError, match="`unlikely` is not one word of the vocabulary"):
        fill_masks(checkpoint, ["a [MASK] film"], targets=["unlikely"])


def test_a_text_without_a_mask_is_told(many_heads: Path) -> None:
    ran = run_sqbert("fill-mask", "--model", many_heads, stdin='{"text": "a [mask]"}\n{"text": "a [MASK]", "id": 2}\n')
    assert ran.status == 1
    assert "stdin:1: no `[MASK]` in the text; write it instead of `[mask]`" in ran.err
    (line,) = map(json.loads, ran.out.splitlines())
    assert line["id"] == 2
    assert list(line["masks"][0]) == ["start", "end", "words"]
    assert len(line["masks"][0]["words"]) == 5
    both = run_sqbert("fill-mask", "--model", many_heads, "--targets", "film,A,a,##s", "--format", "jsonl", "[MASK]")
    assert {word["word"] for word in json.loads(both.out)["masks"][0]["words"]} == {"film", "A", "##s"}
    assert run_sqbert("fill-mask", "--targets", "film", "--top-k", "1", "[MASK]").status == 2
    seen = run_sqbert("fill-mask", "--model", many_heads, "--format", "table", "--targets", "good,bad", "a [MASK] film")
    assert "a good film" in seen.out
    assert "a bad film" in seen.out


def test_entailment_is_found_by_the_names_of_the_labels(make_model: Callable[..., Path], many_heads: Path) -> None:
    assert nli_head(checkpoint_of(many_heads)).name == "nli"
    checkpoint = checkpoint_of(many_heads)
    assert default_method(checkpoint) == "embedding"
    assert default_method(replace(checkpoint, heads=checkpoint.heads[3:])) == "nli"
    unnamed = read_checkpoint(make_model(labels=("LABEL_0", "LABEL_1", "LABEL_2")))
    assert default_method(unnamed) == "embedding"
    with pytest.raises(SqbertError, match="has no head with labels for entailment and contradiction"):
        classify_any(unnamed, ["a film"], ["good", "bad"], method="nli")
    odd = HeadConfig(name="odd", kind="sequence", labels=("Entailment", "CONTRADICTION"))
    assert nli_head(read_checkpoint(make_model(heads=(odd,)))) == odd


@pytest.mark.slow
@pytest.mark.parametrize("multi_label", [False, True])
def test_any_labels_equal_those_of_the_zero_shot_pipeline(multi_label: bool, vocabulary: Path, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        initializer_range=0.5, id2label={0: "contradiction", 1: "neutral", 2: "entailment"},
        label2id={"contradiction": 0, "neutral": 1, "entailment": 2},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    transformers.BertTokenizerFast(vocab=str(vocabulary / "vocab.txt")).save_pretrained(tmp_path)
    pipeline = transformers.pipeline("zero-shot-classification", model=str(tmp_path))
    labels, template = ["good", "bad film", "boring"], "it is {}."
    texts = ["i loved the film", "awful , really boring and bad", "one two three"]
    results = classify_any(checkpoint_of(tmp_path), texts, labels, template=template, multi_label=multi_label)
    spread = set()
    for text, ours in zip(texts, results, strict=True):
        theirs = pipeline(text, labels, hypothesis_template=template, multi_label=multi_label)
        assert isinstance(ours, Classification)
        assert ours.scores == pytest.approx(dict(zip(theirs["labels"], theirs["scores"], strict=True)), abs=1e-4)
        spread.add(round(ours.scores["good"], 3))
    assert len(spread) == 3


def test_by_embedding_a_text_is_like_the_label_that_it_is(many_heads: Path) -> None:
    checkpoint = checkpoint_of(many_heads)
    labels = ["good film", "a b c d"]
    for multi_label in (False, True):
        results = classify_any(checkpoint, labels, labels, method="embedding", multi_label=multi_label, threshold=0.999)
        for text, result in zip(labels, results, strict=True):
            assert isinstance(result, Classification)
            assert (result.label, result.labels) == (text, (text,))
            assert sum(result.scores.values()) == pytest.approx(1) or multi_label


def test_labels_of_ones_own_on_the_command_line(many_heads: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("good\n\nbad film\n")
    ran = run_sqbert("classify", "--model", many_heads, "--labels", "good, bad film", "--all-scores", "a film")
    assert (ran.status, ran.err) == (0, "")
    line = json.loads(ran.out)
    assert set(line["scores"]) == {"good", "bad film"}
    assert sum(line["scores"].values()) == pytest.approx(1, abs=1e-5)
    same = run_sqbert("classify", "--model", many_heads, "--labels-file", tmp_path / "labels.txt", "--all-scores",
                      "a film")  # fmt: skip
    assert same.out == ran.out
    several = run_sqbert("classify", "--model", many_heads, "--labels", "good,bad film", "--multi-label",
                         "--threshold", "0", "a film")  # fmt: skip
    assert set(json.loads(several.out)["labels"]) == {"good", "bad film"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "a,a"], "--labels names something twice"),
        (["--labels", "a,b", "--labels", "c,d"], "--labels is given twice; put a comma between the names"),
        (["--labels", " , "], "--labels names nothing"),
        (["--labels", "a"], "--labels: a single one would always be right"),
        (["--labels", "good,Good"], "cannot tell `Good` from `good`"),
        (["--template", "x {}"], "--template and --method go with --labels"),
        (["--labels", "a,b", "--head", "x"], "--labels goes without"),
        (["--labels", "a,b", "--template", "x"], "--template holds {} once"),
        (["--labels", "a,b", "--threshold", "0.1"], "with `--threshold` use `--multi-label`"),
    ],
)
def test_labels_that_cannot_be(many_heads: Path, arguments: list[str], message: str) -> None:
    ran = run_sqbert("classify", "--model", many_heads, *arguments, "a film")
    assert ran.status in (1, 2)
    assert message in " ".join(ran.err.replace("│", " ").split())


def test_what_a_program_may_get_wrong_is_told(many_heads: Path) -> None:
    checkpoint = checkpoint_of(many_heads)
    with pytest.raises(TypeError, match="labels is one string"):
        classify_any(checkpoint, ["a"], "good")
    with pytest.raises(SqbertError, match="a single label would always be right"):
        classify_any(checkpoint, ["a"], ["good"])
    with pytest.raises(SqbertError, match="no labels"):
        classify_any(checkpoint, ["a"], [], multi_label=True)
    with pytest.raises(SqbertError, match="no targets"):
        fill_masks(checkpoint, ["a [MASK]"], targets=[])
    with pytest.raises(SqbertError, match="no method `NLI`"):
        classify_any(checkpoint, ["a"], ["good", "bad"], method="NLI")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="targets is one string"):
        fill_masks(checkpoint, ["a [MASK]"], targets="good")
    with pytest.raises(SqbertError, match="no strategy `simple`"):
        find_entities(checkpoint, ["a"], strategy="simple")  # type: ignore[arg-type]
    with pytest.raises(SqbertError, match="--stride is -5"):
        find_entities(checkpoint, ["a"], stride=-5)


def test_a_vector_is_the_mean_of_the_tokens_and_of_length_1(many_heads: Path) -> None:
    checkpoint = checkpoint_of(many_heads)
    texts = ["a good film", "the film was bad " * 200, "awful"]
    results = list(embed(checkpoint, texts))
    for result in results:
        assert isinstance(result, Embedded)
        assert np.linalg.norm(result.vector) == pytest.approx(1, abs=1e-5)
    tokenizer = checkpoint.tokenizer
    ids = torch.tensor([[tokenizer.cls_id, *tokenizer.encode(["awful"])[0], tokenizer.sep_id]])
    with torch.inference_mode():
        mean = checkpoint.network.transformer(ids, torch.ones_like(ids), torch.zeros_like(ids))[0].mean(0)
    assert results[2].vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)  # type: ignore[union-attr]


def test_vectors_in_a_numpy_file(many_heads: Path, tmp_path: Path) -> None:
    lines = '{"text": "a good film", "id": 1}\nnot json\n{"text": "awful"}\n'
    ran = run_sqbert("embed", "--model", many_heads, "--output", tmp_path / "x.npy", stdin=lines)
    assert ran.status == 1
    assert "1 line was skipped" in ran.err
    rows = np.load(tmp_path / "x.npy")
    assert (rows.shape, rows.dtype) == ((2, 32), np.float32)
    jsonl = run_sqbert("embed", "--model", many_heads, stdin=lines)
    first, second = map(json.loads, jsonl.out.splitlines())
    assert list(first) == ["text", "id", "embedding"]
    assert np.allclose([first["embedding"], second["embedding"]], rows, atol=1e-6)


def test_a_numpy_file_grows_row_by_row_and_is_whole_or_absent(tmp_path: Path) -> None:
    from sqbert_cli.files import write_rows

    write_rows(tmp_path / "many.npy", ([float(row), 0.5] for row in range(12_345)), 2)
    rows = np.load(tmp_path / "many.npy")
    assert (rows.shape, rows[-1].tolist()) == ((12_345, 2), [12_344.0, 0.5])
    write_rows(tmp_path / "none.npy", (), 3)
    assert np.load(tmp_path / "none.npy").shape == (0, 3)

    def broken():  # type: ignore[no-untyped-def]
        yield [1.0]
        raise SqbertError("no")

    with pytest.raises(SqbertError):
        write_rows(tmp_path / "broken.npy", broken(), 1)
    assert {path.name for path in tmp_path.iterdir()} == {"many.npy", "none.npy"}


def test_bad_records_pass_through(many_heads: Path) -> None:
    checkpoint, bad = checkpoint_of(many_heads), BadRecord("f:1", "no")
    good = Record("a [MASK]")
    for results in (
        fill_masks(checkpoint, [bad, good]),
        embed(checkpoint, [bad, good]),
        classify_any(checkpoint, [bad, good], ["a", "b"]),
    ):
        first, second = results
        assert first == bad
        assert not isinstance(second, BadRecord)


def test_models_info_names_the_heads(many_heads: Path) -> None:
    ran = run_sqbert("models", "info", many_heads, "--format", "json")
    about = json.loads(ran.out)
    assert [(head["name"], head["kind"], head["max_length"]) for head in about["heads"]] == [
        ("mood", "sequence", 512), ("names", "token", 32), ("answers", "span", 32), ("nli", "sequence", 32),
        ("words", "masked_word", 32),
    ]  # fmt: skip
    assert about["heads"][0]["labels"] == ["negative", "positive"]
    assert about["bytes"] == (many_heads / "model.safetensors").stat().st_size
    seen = run_sqbert("models", "info", many_heads, "--format", "table")
    for word in ("mood", "answers to questions", "B-PER", "groups 4/4/4/1/4/4", f"{about['parameters']:,}"):
        assert word in seen.out
    none = run_sqbert("models", "info", "nowhere")
    assert none.status == 1
    assert "no model `nowhere`" in none.err


def test_a_new_head_for_vectors_leaves_them_as_they_are(make_model: Callable[..., Path]) -> None:
    base = read_checkpoint(make_model())
    with_head = network_with_heads(
        base, [HeadConfig(name="vectors", kind="vector", max_length=16)], dropout=0.0, seed=1
    )
    with_head.network.eval()
    texts = [Record(text) for text in ("the film was good", "it is bad")]
    torch.testing.assert_close(text_vectors(base, texts), text_vectors(with_head, texts))


def test_vectors_are_learnt_by_their_own_head_beside_a_task(
    make_model: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    lines = ["the film was good and great fun", "it is bad , very bad", "i loved it", "hated , awful , boring film"]
    (tmp_path / "text.txt").write_text("\n".join(f"{line} and it was a film not like one or two" for line in lines * 8))
    (tmp_path / "moods.csv").write_text("text,label\n" + "the film was good,good\nit is bad,bad\n" * 8)
    other = make_model(num_hidden_layers=1)
    arguments = ["finetune", "--model", tiny_model, "--multi", f"mood={tmp_path / 'moods.csv'}", "--vectors",
                 tmp_path / "text.txt", "--vectors-of", other, "--freeze-encoder", "--epochs", "150", "--learning-rate",
                 "1e-2", "--threads", "1", "--eval-steps", "100000", "--output", tmp_path / "out"]  # fmt: skip
    ran = run_sqbert(*arguments)
    assert ran.status == 0, ran.err
    taught, wanted = read_checkpoint(tmp_path / "out"), text_vectors(read_checkpoint(other), [Record(t) for t in lines])
    before = (text_vectors(read_checkpoint(tiny_model), [Record(text) for text in lines]) * wanted).sum(-1)
    after = (text_vectors(taught, [Record(text) for text in lines]) * wanted).sum(-1)
    assert after.mean() > before.mean() + 0.1
    assert "vectors of texts" in run_sqbert("models", "info", tmp_path / "out").out
