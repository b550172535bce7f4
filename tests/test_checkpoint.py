"""Model folders: transformers opens ours, we open theirs, and what does not fit is said in one message."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file
from sqbert_cli.model.config import GROUP_FIELDS, HeadConfig, SqueezeBertConfig
from sqbert_cli.model.network import Network, initialise
from sqbert_cli.models import describe
from sqbert_cli.text.tokenizer import Tokenizer

ROW = (torch.tensor([[2, 7, 8, 9, 3]]), torch.ones(1, 5, dtype=torch.long), torch.zeros(1, 5, dtype=torch.long))


def edit_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("labels", [("no", "yes", "maybe"), ("score",)])
@pytest.mark.parametrize("family", ["squeezebert", "bert"])
def test_transformers_opens_our_folder_and_says_the_same(
    make_model: Callable[..., Path], family: str, labels: tuple[str, ...]
) -> None:
    problem = "regression" if len(labels) == 1 else "single_label_classification"
    folder = make_model(labels, model_type=family, problem_type=problem)
    network = read_checkpoint(folder).network
    theirs, report = transformers.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    assert tuple(theirs.config.id2label.values()) == labels
    with torch.no_grad():
        torch.testing.assert_close(network("test", *ROW), theirs(*ROW).logits, atol=1e-5, rtol=1e-5)


def test_a_folder_read_and_written_again_has_the_same_tensors(tiny_model: Path, tmp_path: Path) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    before, after = load_file(tiny_model / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((tiny_model / "config.json").read_text()) == json.loads((tmp_path / "config.json").read_text())


def test_several_heads_of_one_kind_keep_apart(tiny_model: Path, tmp_path: Path) -> None:
    base = read_checkpoint(tiny_model)
    heads = (
        HeadConfig(name="mood", kind="sequence", labels=("sad", "happy"), max_length=64),
        HeadConfig(name="topic", kind="sequence", labels=("a", "b", "c"), problem_type="multi_label_classification"),
        HeadConfig(name="words", kind="masked_word"),
        HeadConfig(name="answer", kind="span"),
    )
    network = Network(base.config, heads)
    initialise(network, 0.1, torch.Generator().manual_seed(1))
    write_checkpoint(Checkpoint("many", network, heads, base.tokenizer), tmp_path)
    again = read_checkpoint(tmp_path)
    assert again.heads == heads
    for head in heads:
        network.eval()
        assert torch.equal(again.network(head.name, *ROW), network(head.name, *ROW))


def test_half_precision_on_disk_is_float32_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_model)
    write_checkpoint(checkpoint, tmp_path, torch.float16)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    again = read_checkpoint(tmp_path)
    assert {parameter.dtype for parameter in again.network.parameters()} == {torch.float32}
    torch.testing.assert_close(again.network("test", *ROW), checkpoint.network("test", *ROW), atol=1e-2, rtol=1e-2)


def test_every_tensor_that_does_not_fit_is_named_in_one_message(tiny_model: Path, tmp_path: Path) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["classifier.bias"]
    tensors["classifier.weight"] = torch.zeros(3, 32)
    tensors["stranger"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(SqbertError) as caught:
        read_checkpoint(tmp_path)
    assert caught.value.message == (
        f"`{tmp_path}`: the weights do not fit `config.json`:\n"
        "  misshaped classifier.weight: (3, 32), expected (2, 32)\n"
        "  missing classifier.bias\n"
        "  unexpected stranger"
    )


def test_group_counts_come_from_the_config_where_shapes_cannot_tell(make_model: Callable[..., Path]) -> None:
    """(32, 32, 1) is a dense layer, or one of 2 groups over 64 channels: see facts of the reference."""
    folder = make_model(intermediate_size=64, output_groups=2)
    shapes = {name: tensor.shape for name, tensor in load_file(folder / "model.safetensors").items()}
    layer = "transformer.encoder.layers.0"
    assert shapes[f"{layer}.post_attention.conv1d.weight"] == shapes[f"{layer}.output.conv1d.weight"] == (32, 32, 1)
    block = read_checkpoint(folder).network.transformer.encoder.layers[0]
    assert block.post_attention.conv1d.weight.shape == (1, 32, 32)  # type: ignore[union-attr]
    assert block.output.conv1d.weight.shape == (2, 32, 16)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "gpt2"}, "model type 'gpt2' is not supported"),
        ({"hidden_size": 10**9, "embedding_size": 10**9}, "`hidden_size` is 1000000000"),
        ({"num_hidden_layers": True}, "`num_hidden_layers` is True"),
        ({"hidden_dropout_prob": 5}, "`hidden_dropout_prob` is 5"),
        ({"layer_norm_eps": "x"}, "`layer_norm_eps` is 'x'"),
        ({"pad_token_id": -1}, "`pad_token_id` is -1"),
        ({"num_attention_heads": 5}, "5 attention heads do not divide width 32"),
        ({"q_groups": 3}, "`q_groups` 3 does not divide 32"),
        ({"hidden_act": "relu"}, "activation `relu`"),
        ({"heads": []}, "the heads or their labels cannot be read"),
        ({"heads": {"none": {"kind": "sequence"}}}, "`none` has no labels"),
        ({"heads": {"keys": {"kind": "sequence", "labels": ["a", "b"]}}}, "a head cannot be called `keys`"),
        ({"heads": {"a": {"kind": "sequence", "labels": ["x", "x"]}}}, "the labels are not names that differ"),
        ({"heads": {"a": {"kind": "sequence", "labels": "xy"}}}, "the labels of `a` are not a list"),
        ({"heads": {"a": {"kind": "sequence", "max_length": 2}}}, "`max_length` is 2"),
        ({"heads": {"a.b": {"kind": "sequence"}}}, "a head cannot be called 'a.b'"),
        ({"heads": {"a": {"kind": "poet"}}}, "'poet' is none of sequence"),
        ({"architectures": ["BertForMaskedLM"], "tie_word_embeddings": False}, "a decoder of its own is not supported"),
        ({"vocab_size": 50}, "word pieces, the embeddings 50"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(
    tiny_model: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    edit_config(tmp_path, **values)
    with pytest.raises(SqbertError) as caught:
        read_checkpoint(tmp_path)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "is not JSON"),
        ("config.json", b"[]", "is not a JSON object"),
        ("config.json", b"[" * 100_000, "is not JSON"),
        ("model.safetensors", b"", "cannot be read as weights"),
        ("model.safetensors", b"\xff" * 64, "cannot be read as weights"),
        ("tokenizer.json", b"{}", "is not a tokenizer"),
    ],
)
def test_a_damaged_file_is_named(tiny_model: Path, tmp_path: Path, file: str, content: bytes, message: str) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(SqbertError) as caught:
        read_checkpoint(tmp_path)
    assert file in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize("lowercase", [True, False])
def test_transformers_reads_our_tokenizer_as_we_do(
    tiny_model: Path, vocabulary: Path, tmp_path: Path, lowercase: bool
) -> None:
    checkpoint = replace(read_checkpoint(tiny_model), tokenizer=Tokenizer.read(vocabulary, lowercase=lowercase))
    write_checkpoint(checkpoint, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("The film was GOOD!", "unlike it, very"):
        (ours,) = checkpoint.tokenizer.windows(checkpoint.tokenizer.encode([text])[0], None, 64)
        assert theirs(text)["input_ids"] == ours.input_ids


def test_a_tokenizer_that_leaves_texts_as_they_are_is_written_too(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    file = tmp_path / "model/tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": None}))
    model = read_checkpoint(tmp_path / "model")
    write_checkpoint(model, tmp_path / "again")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    text = "The film was good \u65e5b, G\u00f3od"
    assert theirs(text)["input_ids"][1:-1] == model.tokenizer.encode([text])[0]
    assert theirs.mask_token_id == model.tokenizer.mask_id


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("settings", [None, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}])
def test_settings_beside_a_tokenizer_count_as_they_do_for_transformers(
    tiny_model: Path, tmp_path: Path, lowercase: bool, settings: dict[str, bool] | None
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    file = tmp_path / "model/tokenizer.json"
    values = json.loads(file.read_text())
    values["normalizer"]["lowercase"] = lowercase
    file.write_text(json.dumps(values))
    (tmp_path / "model/tokenizer_config.json").unlink()
    if settings is not None:
        (tmp_path / "model/tokenizer_config.json").write_text(json.dumps(settings))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "The FILM was g\u00f3od"
    assert read_checkpoint(tmp_path / "model").tokenizer.encode([text]) == [theirs(text)["input_ids"][1:-1]]


@pytest.mark.parametrize("accents", [None, True, False])
@pytest.mark.parametrize("ideographs", [True, False])
def test_accents_and_ideographs_are_read_as_transformers_reads_them(
    tiny_model: Path, vocabulary: Path, tmp_path: Path, accents: bool | None, ideographs: bool
) -> None:
    settings = {"do_lower_case": True, "strip_accents": accents, "tokenize_chinese_chars": ideographs}
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_bytes((vocabulary / "vocab.txt").read_bytes())
    config = {"tokenizer_class": "BertTokenizer", **settings}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    text = "G\u00f3od f\u00fcn a\u65e5b"
    ours = read_checkpoint(tmp_path)
    (ids,) = ours.tokenizer.encode([text])
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"][1:-1] == ids
    write_checkpoint(ours, tmp_path / "again")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "again")(text)["input_ids"][1:-1] == ids


@pytest.mark.parametrize("content", [b"hello", b".", b"", b"PK\x03\x04"])
def test_a_damaged_pickle_is_refused(tiny_model: Path, tmp_path: Path, content: bytes) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(SqbertError, match=r"pytorch_model\.bin` cannot be read as weights"):
        read_checkpoint(tmp_path)


def test_an_archive_that_leads_to_where_no_file_goes_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    file = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(2)}, file)
    content = bytearray(file.read_bytes())
    place = content.rfind(b"PK\x06\x06") + 48  # where the list of parts begins
    content[place : place + 8] = b"\xff" * 8
    file.write_bytes(content)
    with pytest.raises(SqbertError, match=r"pytorch_model\.bin` cannot be read as weights"):
        read_checkpoint(tmp_path)


def test_an_old_pickle_of_something_else_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "pytorch_model.bin")
    with pytest.raises(SqbertError, match="not a table of tensors"):
        read_checkpoint(tmp_path)


def test_a_vocabulary_alone_makes_the_same_tokenizer(tiny_model: Path, vocabulary: Path, tmp_path: Path) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_bytes((vocabulary / "vocab.txt").read_bytes())
    texts = ["The film was GOOD!", "unlike  it\tvery"]
    assert read_checkpoint(tmp_path).tokenizer.encode(texts) == Tokenizer.read(vocabulary).encode(texts)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "tokenizer_config.json",
            {"tokenizer_class": "BertJapaneseTokenizer"},
            "its tokenizer, `BertJapaneseTokenizer`",
        ),
        ("added_tokens.json", {"good": 9, "<e1>": 99}, "adds what is told by a `tokenizer.json` only: `<e1>`$"),
        ("added_tokens.json", ["<e1>"], "cannot be read"),
    ],
)
def test_a_vocabulary_alone_is_refused_where_it_would_be_read_otherwise(
    file: str, content: object, said: str, tiny_model: Path, vocabulary: Path, tmp_path: Path
) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_bytes((vocabulary / "vocab.txt").read_bytes())
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(SqbertError, match=said):
        read_checkpoint(tmp_path)


def test_a_padding_id_that_is_none_is_the_first() -> None:
    read = SqueezeBertConfig.from_dict({"model_type": "bert", "hidden_size": 768, "pad_token_id": None})
    assert read.pad_token_id == 0


def test_the_heads_of_a_pickle_are_told_once_it_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    write_checkpoint(read_checkpoint(tiny_model), tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("heads")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert [head["labels"] for head in describe(str(tmp_path))["heads"]] == [["negative", "positive"]]


def test_a_missing_head_says_what_there_is(tiny_model: Path) -> None:
    with pytest.raises(SqbertError, match=r"has no head for answers to questions; it has: `test` \(whole texts\)"):
        read_checkpoint(tiny_model).head("span")


def test_bert_is_squeezebert_with_one_group_to_the_last_bit(make_model: Callable[..., Path]) -> None:
    bert = read_checkpoint(make_model(model_type="bert"))
    config = replace(bert.config, model_type="squeezebert", **dict.fromkeys(GROUP_FIELDS, 1))
    same = Network(config, bert.heads)
    same.load_state_dict(bert.network.state_dict())
    assert torch.equal(same.eval()("test", *ROW), bert.network("test", *ROW))


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(b"old")

    def write_half() -> None:
        with whole_file(file) as opened:
            opened.write(b"half of the new")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
