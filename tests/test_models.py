"""Models by name: shipped ones, folders, and repositories of a hub of our own, written by transformers."""

from __future__ import annotations

import os
import re
import shutil
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    SqueezeBertConfig,
    SqueezeBertForMaskedLM,
    SqueezeBertForSequenceClassification,
    SqueezeBertModel,
)

from sqbert_cli import models, places
from sqbert_cli.errors import SqbertError
from tests.hub_server import Hub, commit_of, lines, run, serve

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
SIZES: dict[str, Any] = {
    "vocab_size": 40,  # more than the tokenizer has, as 30528 to 30522 in the published models
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
}
SQUEEZED = {**SIZES, "embedding_size": 32, "num_labels": 3}
IDS = torch.tensor([[2, 7, 8, 9, 3]])
LOAD = """
import torch
from sqbert_cli.models import load_checkpoint

def answer(name, **options):
    checkpoint = load_checkpoint(name, **options)
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    network, heads = checkpoint.network, checkpoint.heads
    with torch.inference_mode():
        values = network(heads[0].name, *inputs) if heads else network.transformer(*inputs)
    return [head.kind for head in heads], values.flatten().tolist()

"""


@dataclass(frozen=True)
class Published:
    """Repositories below `root`, and what transformers' models in them answer to `IDS`."""

    root: Path
    answers: dict[str, Tensor]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    torch.manual_seed(0)
    squeezed = SqueezeBertConfig(**SQUEEZED)
    texts, bert = SqueezeBertForSequenceClassification(squeezed), BertForSequenceClassification(BertConfig(**SIZES))
    words, encoder = SqueezeBertForMaskedLM(squeezed), SqueezeBertModel(squeezed)
    words.load_state_dict({name: tensor.half() for name, tensor in words.state_dict().items()})
    for model in (texts, bert, words, encoder):
        model.train(False)
    root = tmp_path_factory.mktemp("published")
    publish(texts, root / "tiny/texts")
    publish(bert, root / "tiny/bert")
    half = {name: tensor.half() for name, tensor in words.state_dict().items()}
    old = {"transformer.embeddings.position_ids": torch.arange(16)[None]}
    publish_pickle(words, root / "tiny/words", half | old)
    headless = {f"transformer.{name}": tensor for name, tensor in encoder.state_dict().items() if "pooler" not in name}
    publish_pickle(encoder, root / "tiny/headless", headless)
    with torch.inference_mode():
        answers = {
            "tiny/texts": texts(IDS).logits,
            "tiny/bert": bert(IDS).logits,
            "tiny/words": words(IDS).logits,
        }
        return Published(root, answers | {"tiny/headless": encoder(IDS).last_hidden_state})


@pytest.fixture
def server(published: Published, tmp_path: Path) -> Iterator[Hub]:
    shutil.copytree(published.root, tmp_path / "hub")
    with serve(tmp_path / "hub") as hub:
        yield hub


def publish(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    (folder / "README.md").write_text(f"# {folder.name}")


def publish_pickle(model: PreTrainedModel, folder: Path, content: Any) -> None:
    publish(model, folder)
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")


def answers(server: Hub, home: Path, *calls: str, **environment: str) -> list[str]:
    code = LOAD + "\n".join(f"show(answer, {call})" for call in calls)
    return lines(run(code, home, server.url, **environment))


def conversion(server: Hub, home: Path, name: str) -> Path:
    return home / "sqbert/models" / name.replace("/", "--") / commit_of(server.root / name)


def test_pulled_models_answer_as_in_transformers(published: Published, server: Hub, tmp_path: Path) -> None:
    calls = (repr(name) for name in published.answers)
    shown = [literal_eval(line) for line in answers(server, tmp_path, *calls)]
    assert [kinds for kinds, _ in shown] == [["sequence"], ["sequence"], ["masked_word", "pooler"], []]
    for (_, values), expected in zip(shown, published.answers.values(), strict=True):
        torch.testing.assert_close(torch.tensor(values), expected.flatten(), atol=1e-5, rtol=1e-4)
    for name, dtype in (("tiny/texts", torch.float32), ("tiny/words", torch.float16)):
        folder = conversion(server, tmp_path, name)
        assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {dtype}
        assert (folder / "README.md").read_text() == f"# {name.removeprefix('tiny/')}"


@pytest.mark.slow
def test_a_converted_model_needs_neither_network_nor_the_cache_of_the_hub(server: Hub, tmp_path: Path) -> None:
    problem, online = answers(server, tmp_path, "'tiny/texts', offline=True", "'tiny/texts'")
    assert problem.startswith("error: `tiny/texts` is not downloaded")
    asked = len(server.requests)
    pinned = f"'tiny/texts@{commit_of(server.root / 'tiny/texts')}'"
    calls = ("'tiny/texts'", "'tiny/texts', offline=True", pinned)
    assert answers(server, tmp_path, *calls) == [online] * 3
    assert [request.path for request in server.requests[asked:]] == ["/api/models/tiny/texts"]
    shutil.rmtree(tmp_path / "hf")
    assert answers(server, tmp_path, *calls, HF_HUB_OFFLINE="1") == [online] * 3
    assert len(server.requests) == asked + 1


def test_a_new_commit_is_converted_beside_the_old_one(server: Hub, tmp_path: Path) -> None:
    source = server.root / "tiny/texts"
    old = conversion(server, tmp_path, "tiny/texts")
    change = f"import pathlib; pathlib.Path({str(source / 'README.md')!r}).write_text('# better')"
    lines(run(f"{LOAD}answer('tiny/texts')\n{change}\nanswer('tiny/texts@main')", tmp_path, server.url))
    new = conversion(server, tmp_path, "tiny/texts")
    assert old != new
    assert [(folder / "README.md").read_text() for folder in (old, new)] == ["# texts", "# better"]


@pytest.mark.slow
def test_processes_that_convert_at_once_leave_one_folder(server: Hub, tmp_path: Path) -> None:
    processes = [run(f"{LOAD}show(answer, 'tiny/bert')", tmp_path, server.url) for _ in range(3)]
    shown = {lines(process)[0] for process in processes}
    assert len(shown) == 1
    assert shown.pop().startswith("(['sequence'], [")
    folder = conversion(server, tmp_path, "tiny/bert")
    assert sorted(folder.parent.iterdir()) == [folder, folder.parent / "main.commit"]


def test_a_pickle_that_runs_code_is_refused(server: Hub, tmp_path: Path) -> None:
    torch.save(Command(f"touch {tmp_path / 'harm'}"), server.root / "tiny/words/pytorch_model.bin")
    [problem] = answers(server, tmp_path, "'tiny/words'")
    assert "cannot be read as weights" in problem
    assert "it could run code" in problem
    assert not (tmp_path / "harm").exists()
    assert not list((tmp_path / "sqbert").rglob("config.json"))


@pytest.mark.parametrize("root", ["sqbert_cli/weights", "weights"])
def test_the_shipped_model_is_found_in_a_wheel_and_in_a_checkout(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.setattr(places, "__file__", str(tmp_path / "sqbert_cli/places.py"))
    with pytest.raises(SqbertError, match="`sqbert-small` is missing from this installation"):
        models.load_checkpoint()
    shipped = tmp_path / root / places.DEFAULT_MODEL
    shutil.copytree(published.root / "tiny/texts", shipped)
    assert models.find_model() == models.find_model("sqbert-small") == shipped
    assert models.load_checkpoint().name == "sqbert-small"
    with pytest.raises(SqbertError, match="no model `sqbert-smal`") as error:
        models.find_model("sqbert-smal")
    assert str(error.value.hint).startswith("did you mean `sqbert-small`? expected a shipped model (`sqbert-small`)")
    monkeypatch.chdir(shipped.parent)
    assert models.find_model("sqbert-small") == shipped
    (tmp_path / "mine/sqbert-small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mine")
    assert models.find_model("sqbert-small") == shipped  # of a run that has not ended
    shutil.copy(shipped / "config.json", "sqbert-small")
    with pytest.raises(SqbertError, match="ships with sqbert, and is a folder here") as error:
        models.find_model("sqbert-small")
    assert error.value.hint == "the folder's name is `./sqbert-small` too"
    assert models.find_model("./sqbert-small") == Path("sqbert-small")


def test_a_folder_is_a_model_and_one_that_is_not_there_is_no_repository(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published.root)
    assert models.find_model("tiny/bert") == Path("tiny/bert")
    for name in (
        "./tiny/brt",
        "/tiny/bert",
        "org/",
        "a/b/c",
        "word",
        "a/../b",
        "../b",
        "org/..",
        "a/b@../c",
        "a--b/c",
    ):
        with pytest.raises(SqbertError, match=f"no model `{re.escape(name)}`"):
            models.find_model(name)
    with pytest.raises(SqbertError) as error:
        models.find_model("./tiny/brt")
    assert str(error.value.hint).startswith("did you mean `tiny/bert`?")
    with pytest.raises(SqbertError, match="is not downloaded") as error:  # it may be one of the hub
        models.find_model("tiny/brt", offline=True)
    assert str(error.value.hint).startswith("did you mean `tiny/bert`?")


class Command:
    """Pickled, it is a command that whoever reads the pickle runs."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)
