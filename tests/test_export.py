"""Files for other runtimes, as ONNX Runtime, TorchScript and torch.export themselves read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from sqbert_cli import embed
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.engines import graphs
from sqbert_cli.errors import SqbertError
from sqbert_cli.export import ExportName, export
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import Embedded, Record
from tests.conftest import run_sqbert

TEXTS = ["the film was very good", "i hated it", "unlike one"]
HEADS = (
    HeadConfig(name="mood", kind="sequence", labels=("sad", "happy"), max_length=32),
    HeadConfig(name="names", kind="token", labels=("O", "B-PER")),
    HeadConfig(name="answers", kind="span"),
    HeadConfig(name="words", kind="masked_word"),
    HeadConfig(name="vectors", kind="vector"),
)
FORMATS: tuple[ExportName, ...] = ("onnx", "torchscript", "pt2")


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Path]) -> Path:
    return make_model(heads=HEADS)


def inputs_by(pieces: Tokenizer) -> tuple[Tensor, Tensor, Tensor]:
    """Texts of several lengths as the tokenizer inside the file makes them."""
    pieces.enable_padding()
    encoded = pieces.encode_batch(TEXTS)
    rows = ([getattr(one, name) for one in encoded] for name in ("ids", "attention_mask", "type_ids"))
    ids, mask, types = (torch.tensor(row) for row in rows)
    return ids, mask, types


def answered(file: Path, format: ExportName) -> tuple[Tensor, dict[str, object]]:
    """What a file says of `TEXTS`, and of itself, to one who has nothing else."""
    if format == "onnx":
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        about = session.get_modelmeta().custom_metadata_map
        inputs = inputs_by(Tokenizer.from_str(about["tokenizer"]))
        feed = {one.name: tensor.numpy() for one, tensor in zip(session.get_inputs(), inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0]), json.loads(about["sqbert"])
    extra = {"sqbert": "", "tokenizer": ""}
    if format == "torchscript":
        module = torch.jit.load(str(file), _extra_files=extra)
    else:
        module = torch.export.load(str(file), extra_files=extra).module()
    with torch.no_grad():
        return module(*inputs_by(Tokenizer.from_str(_text(extra["tokenizer"])))), json.loads(_text(extra["sqbert"]))


def _text(content: str | bytes) -> str:
    return content.decode() if isinstance(content, bytes) else content


def expected(checkpoint: Checkpoint, head: str) -> Tensor:
    with torch.no_grad():
        return checkpoint.network(head, *inputs_by(Tokenizer.from_str(checkpoint.tokenizer.pieces.to_str())))


@pytest.mark.parametrize(
    ("format", "head"),
    [*(("onnx", head) for head in ("mood", "names", "answers", "words")), ("torchscript", "answers"), ("pt2", "names")],
)
def test_the_file_alone_answers_as_the_model_does(model: Path, tmp_path: Path, format: ExportName, head: str) -> None:
    told = export(str(model), tmp_path / "file", format, head)
    logits, about = answered(tmp_path / "file", format)
    torch.testing.assert_close(logits, expected(read_checkpoint(model), head), atol=1e-5, rtol=1e-4)
    assert told.items() >= about.items()
    assert about["labels"] == list(next(one.labels for one in HEADS if one.name == head))
    assert about["max_length"] == (32 if head == "mood" else 512)
    assert (about["output"], told["bytes"]) == ("logits", (tmp_path / "file").stat().st_size)


@pytest.mark.parametrize("format", FORMATS)
def test_vectors_are_those_of_embed(model: Path, tmp_path: Path, format: ExportName) -> None:
    export(str(model), tmp_path / "file", format, "vectors")
    vectors, about = answered(tmp_path / "file", format)
    assert about["output"] == "vectors"
    for text, vector in zip(TEXTS, vectors, strict=True):
        [ours] = embed(read_checkpoint(model), [Record(text=text)])
        assert isinstance(ours, Embedded)
        torch.testing.assert_close(vector, torch.tensor(ours.vector), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["squeezebert", "bert"])
def test_an_encoder_alone_gives_its_hidden_states(make_model: Callable[..., Path], tmp_path: Path, family: str) -> None:
    """With groups that cannot be fused, and positions fewer than the lengths that are compared."""
    groups = {"q_groups": 2, "v_groups": 1} if family == "squeezebert" else {}
    folder = make_model(heads=(), model_type=family, max_position_embeddings=16, **groups)
    checkpoint = read_checkpoint(folder)
    for format in FORMATS:
        assert export(str(folder), tmp_path / format, format)["output"] == "hidden"
        hidden, about = answered(tmp_path / format, format)
        inputs = inputs_by(Tokenizer.from_str(checkpoint.tokenizer.pieces.to_str()))
        with torch.no_grad():
            torch.testing.assert_close(hidden, checkpoint.network.transformer(*inputs), atol=1e-5, rtol=1e-4)
        assert about["head"] is None


def test_grouped_layers_are_products_whose_weights_tools_can_find(model: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    export(str(model), tmp_path / "model.onnx", "onnx", "mood")
    loaded = onnx.load(str(tmp_path / "model.onnx"))
    kinds = [node.op_type for node in loaded.graph.node]
    assert "Conv" not in kinds
    assert "MatMul" in kinds
    assert [(one.domain, one.version) for one in loaded.opset_import] == [("", graphs.OPSET)]
    shapes = {
        one.name: [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in (*loaded.graph.input, *loaded.graph.output)
    }
    assert shapes == {name: ["batch", "length"] for name in graphs.INPUTS} | {"logits": ["batch", 2]}
    quantize_dynamic(str(tmp_path / "model.onnx"), str(tmp_path / "int8.onnx"))
    integer = [node.op_type for node in onnx.load(str(tmp_path / "int8.onnx")).graph.node].count("MatMulInteger")
    assert integer >= 2 * 4  # in each of two layers: query, key and value together, and three more


def test_a_file_that_would_answer_otherwise_does_not_appear(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrong(graph: graphs.Graph, file: Path) -> graphs.Run:
        run = graphs.write_torchscript(graph, file)
        return lambda inputs: run(inputs) + 0.01

    monkeypatch.setitem(graphs.WRITERS, "onnx", write_wrong)
    (tmp_path / "there.onnx").write_text("old")
    with pytest.raises(SqbertError, match=r"the file answers otherwise than the model: \d"):
        export(str(model), tmp_path / "there.onnx", "onnx", "mood")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_the_command_says_what_is_missing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = run_sqbert("models", "export", model, tmp_path / "x.onnx", "--format", "onnx")
    assert several.status == 1
    assert "has several heads: `mood` (whole texts), `names` (entities)" in several.err
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(SqbertError, match="this needs onnxruntime") as caught:
        export(str(model), tmp_path / "x.onnx", "onnx", "mood")
    assert caught.value.hint == "pip install 'sqbert[export]'"
    assert not (tmp_path / "x.onnx").exists()
    ran = run_sqbert("models", "export", model, tmp_path / "x.pt2", "--format", "pt2", "--head", "names")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out)["labels"] == ["O", "B-PER"]
