"""Targets that read a model folder, the files of interrupted runs and jobs, and word pieces kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import torch
from safetensors.torch import save

from sqbert_cli.bulk.manifest import NAME, read_shards, write_manifest
from sqbert_cli.bulk.plan import Shard, named
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sqbert_cli.folder import read_config, read_heads
from sqbert_cli.model.config import SIZE_LIMITS, HeadConfig, SqueezeBertConfig
from sqbert_cli.model.network import Network, initialise
from sqbert_cli.summary import Place, summary
from sqbert_cli.tensors import read_tensors
from sqbert_cli.text.corpus import read_tokens, token_key, tokenize
from sqbert_cli.text.tokenizer import Tokenizer
from sqbert_cli.training.optimise import make_trainer
from sqbert_cli.training.run import Run
from sqbert_cli.training.settings import OptimiserSettings
from tests.fuzz.engine import Fuzzed

VOCABULARY = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "##s", *"abcdefg.,"]) + "\n"
TEXTS = ["the films", "", "ab?\u00e9 \U0001f469", "a" * 300]
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 16}
HEADS = (
    HeadConfig(name="mood", kind="sequence", labels=("bad", "good")),
    HeadConfig(name="names", kind="token", labels=("O", "B-PER", "I-PER"), max_length=16),
)
CONFIG_NAMES = tuple(
    f'"{name}"'.encode()
    for name in ("hidden_size", "vocab_size", "heads", "labels", "kind", "max_length", "id2label", "architectures",
                 "problem_type", "model_type", "q_groups", "sequence", "token", "span", "num_hidden_layers", "bert")
)  # fmt: skip
TENSOR_WORDS = (
    b'"F32"', b'"F16"', b'"BF16"', b'"F8_E4M3"', b'"F8_E8M0"', b'"F4"', b'"I64"', b'"BOOL"', b'"C64"', b'"dtype"',
    b'"shape"', b'"data_offsets"', b"[0,0]", b'"__metadata__"',
)  # fmt: skip
PICKLE_WORDS = (
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n",
    b"ctorch\nHalfStorage\n", b"ctorch._utils\n_rebuild_sparse_tensor\n", b"ctorch._utils\n_rebuild_qtensor\n",
    b"cbuiltins\nbytearray\n", b"ctorch\ndevice\n", b"R", b"Q", b"(", b"t", b".", b"q\x01", b"h\x01", b"K\x00",
    b"J\xff\xff\xff\x7f", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"N", b"\x88", b"]", b"}", b"u", b"0",
)  # fmt: skip
TOKENIZER_WORDS = tuple(
    f'"{word}"'.encode()
    for word in ("type", "vocab", "unk_token", "normalizer", "pre_tokenizer", "added_tokens", "WordPiece", "BPE",
                 "Unigram", "WordLevel", "merges", "Sequence", "Split", "Regex", "(a*)*b", "max_input_chars_per_word")
)  # fmt: skip


def model_targets(folder: Path) -> Iterable[Fuzzed]:
    torch.set_num_threads(1)
    model = tiny(folder / "model")
    content = {file.name: file.read_bytes() for file in model.iterdir()}
    config, weights, pieces = (content[name] for name in ("config.json", "model.safetensors", "tokenizer.json"))
    theirs = json.loads(config) | {"id2label": {"0": "a", "1": "b"}, "architectures": ["X"], "model_type": "bert"}
    theirs.pop("heads")
    yield Fuzzed("config", _config(folder / "config"), [config, json.dumps(theirs).encode()], CONFIG_NAMES)
    yield Fuzzed("model", _file(model, "config.json"), [config, json.dumps(theirs).encode()], CONFIG_NAMES)
    yield Fuzzed("tokenizer", _tokenizer(folder / "pieces", "tokenizer.json"), [pieces], TOKENIZER_WORDS)
    yield Fuzzed("vocabulary", _tokenizer(folder / "words", "vocab.txt"), [VOCABULARY.encode()], (b"[CLS]", b"##"))
    yield Fuzzed("weights", _header(_file(model, "model.safetensors"), weights), [_head_of(weights)], TENSOR_WORDS)
    table, attempt = _table(), _tensors(folder / "table", "model.safetensors")
    yield Fuzzed("safetensors", attempt, [save(table)], TENSOR_WORDS)
    yield Fuzzed("header", _header(attempt, save(table)), [_head_of(save(table))], TENSOR_WORDS)
    pickled, attempt = _pickled(table), _tensors(folder / "pickled", "pytorch_model.bin")
    yield Fuzzed("archive", attempt, [pickled])
    yield Fuzzed("pickle", *_repacked(pickled, attempt), PICKLE_WORDS)
    history = json.dumps({"command": "finetune", "scores": {"dev": {"metrics": {"accuracy": 0.5}}}, "model": "m"})
    yield Fuzzed("training", _training(model), [history.encode()], (b'"scores"', b'"metrics"', b'"teacher"'))
    yield Fuzzed("resume", *_resume(folder / "run"), PICKLE_WORDS)
    yield Fuzzed("tokens", *_tokens(folder / "tokens"))
    yield Fuzzed("manifest", *_manifest(folder / "bulk"), (b'"shards"', b'"job"', b'"inputs"', b'"part-', b"../"))


def tiny(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text(VOCABULARY)
    tokenizer = Tokenizer.read(folder)
    (folder / "vocab.txt").unlink()
    network = Network(SqueezeBertConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=16, **SIZES), HEADS)
    initialise(network, 0.1, torch.Generator().manual_seed(0))
    write_checkpoint(Checkpoint("tiny", network, HEADS, tokenizer), folder)
    return folder


def _config(folder: Path) -> Callable[[bytes], object]:
    folder.mkdir(exist_ok=True)

    def attempt(data: bytes) -> object:
        (folder / "config.json").write_bytes(data)
        values = read_config(folder)
        heads = read_heads(values, ["classifier.weight", "transformer.pooler.dense.weight"])
        return SqueezeBertConfig.from_dict(values).model_type, [head.kind for head in heads]

    return attempt


def _file(model: Path, name: str) -> Callable[[bytes], object]:
    """The whole folder, with other bytes in one of its files, which is mended afterwards."""
    whole = (model / name).read_bytes()

    def attempt(data: bytes) -> object:
        (model / name).write_bytes(data)
        try:
            checkpoint = read_checkpoint(model)
            return [head.kind for head in checkpoint.heads]
        finally:
            (model / name).write_bytes(whole)

    return attempt


def _head_of(weights: bytes) -> bytes:
    return weights[8 : 8 + int.from_bytes(weights[:8], "little")]


def _header(attempt: Callable[[bytes], object], weights: bytes) -> Callable[[bytes], object]:
    """The header alone is other than it was; its length is right."""
    rest = weights[8 + len(_head_of(weights)) :]
    return lambda data: attempt(len(data).to_bytes(8, "little") + data + rest)


def _tokenizer(folder: Path, name: str) -> Callable[[bytes], object]:
    folder.mkdir(exist_ok=True)

    def attempt(data: bytes) -> object:
        (folder / name).write_bytes(data)
        tokenizer = Tokenizer.read(folder)
        if tokenizer.vocab_size > SIZE_LIMITS["vocab_size"]:  # no model is as large: refused beside its weights
            return "too many pieces"
        assert all(0 <= piece < tokenizer.vocab_size for ids in tokenizer.encode(TEXTS) for piece in ids)
        return tokenizer.lowercase, len(tokenizer.encode(TEXTS[:1])[0])

    return attempt


def _table() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.float16), "c": torch.tensor(1)}


def _tensors(folder: Path, name: str) -> Callable[[bytes], object]:
    """The file of weights alone: many more cases than with the folder around it."""
    folder.mkdir()

    def attempt(data: bytes) -> object:
        (folder / name).write_bytes(data)
        tensors = read_tensors(folder)
        sums = [float(tensor.sum()) for tensor in tensors.values()]  # each number can be read
        return [(name[:9], str(tensor.dtype), tensor.ndim) for name, tensor in tensors.items()][:3], bool(sums)

    return attempt


def _pickled(state: object) -> bytes:
    file = BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _repacked(file: bytes, attempt: Callable[[bytes], object]) -> tuple[Callable[[bytes], object], list[bytes]]:
    """Another pickle in an archive that is whole."""
    with ZipFile(BytesIO(file)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in parts if name.endswith("data.pkl"))

    def repacked(data: bytes) -> object:
        whole = BytesIO()
        with ZipFile(whole, "w", ZIP_STORED) as archive:
            for part, content in parts.items():
                archive.writestr(part, data if part == name else content)
        return attempt(whole.getvalue())

    return repacked, [parts[name]]


def _training(model: Path) -> Callable[[bytes], object]:
    def attempt(data: bytes) -> object:
        (model / "training.json").write_bytes(data)
        try:
            told = summary(Place("tiny", model))
            return told.get("problem") or (sorted(told["scores"]), sorted(told["made_by"]))
        finally:
            (model / "training.json").unlink()

    return attempt


def _resume(folder: Path) -> tuple[Callable[[bytes], object], list[bytes]]:
    folder.mkdir(exist_ok=True)
    settings = OptimiserSettings(learning_rate=0.1)

    def trainer():  # type: ignore[no-untyped-def]
        network = torch.nn.Linear(2, 2)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        return make_trainer(network, settings, 10)

    run = Run(folder, torch.device("cpu"), torch.float32, resume=True)
    first = trainer()
    first.optimiser.step()
    first.progress.history.append({"step": 1, "loss": 0.5})
    identity = run.identity(settings, {"data": "x"})
    run.save(first, identity)

    def attempt(data: bytes) -> object:
        run.file.write_bytes(data)
        again = trainer()
        list(run.start(again, identity) or ())
        again.optimiser.step()
        return again.rate(again.progress.step) >= 0, json.dumps(again.progress.history, default=str)[:20]

    return _repacked(run.file.read_bytes(), attempt)


def _tokens(folder: Path) -> tuple[Callable[[bytes], object], list[bytes]]:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text(VOCABULARY)
    tokenizer, text = Tokenizer.read(folder), folder / "text.txt"
    text.write_text("the film\nthe films\n")
    list(tokenize(text, tokenizer, folder))
    key = token_key(text, tokenizer)
    edges = folder / f"{key}.edges"

    def attempt(data: bytes) -> object:
        edges.write_bytes(data)
        tokens = read_tokens(text, tokenizer, folder)
        return [tokens.ids[start:end].tolist() for start, end in zip(tokens.edges, tokens.edges[1:], strict=False)][:3]

    return attempt, [edges.read_bytes()]


def _manifest(folder: Path) -> tuple[Callable[[bytes], object], list[bytes]]:
    folder.mkdir(exist_ok=True)
    job = {"model": "m", "format": "jsonl", "inputs": {"a.jsonl": [20, 1], "b.gz": [9, 2]}, "answer": {"stride": 3}}
    shards = [Shard("", "a.jsonl", 0, 0, 2), Shard("", "a.jsonl", 2, 13, 1), Shard("", "b.gz", 0, 0, 3)]
    write_manifest(str(folder), job, named(shards, "jsonl"))
    file = folder / NAME

    def attempt(data: bytes) -> object:
        file.write_bytes(data)
        shards = read_shards(str(folder), job) or []
        assert all((folder / shard.name).parent == folder for shard in shards)
        return len(shards), sum(shard.records for shard in shards) > 0

    return attempt, [file.read_bytes()]
