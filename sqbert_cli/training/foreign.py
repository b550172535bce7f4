"""A teacher of another family, through transformers, whose word pieces are the student's under other ids (MPNet's are).

Its tokens stand where the student's stand, so that scores of tokens line up, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError, is_out_of_memory
from sqbert_cli.files import digest_of
from sqbert_cli.folder import read_config
from sqbert_cli.model.config import MODEL_TYPES, HeadConfig, HeadKind
from sqbert_cli.models import find_model, load_checkpoint
from sqbert_cli.predict.rows import in_batches
from sqbert_cli.tensors import UNREADABLE
from sqbert_cli.text.tokenizer import MASK, Window
from sqbert_cli.training.examples import check_positions
from sqbert_cli.training.teacher import OwnTeacher, Teacher

BATCH_TOKENS, CUDA_BATCH_TOKENS = 4_096, 32_768
KINDS: dict[str, HeadKind] = {
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "token",
    "ForQuestionAnswering": "span",
}
SAME_PIECES = "a teacher's word pieces must be the student's: BERT's, MPNet's, not those of RoBERTa"
MODEL_FILES = (".safetensors", ".bin", ".json", ".txt")
"""What answers depend on."""
CLASSES = {kind: f"AutoModel{name}" for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Layout:
    """What stands before, between and behind two texts. The first token of each stands for the student's."""

    before: list[int]
    between: list[int]
    behind: list[int]
    types: list[int] | None
    """Token types, if it has such: of the first text, of all that stands between, of the second."""


@dataclass(frozen=True)
class ForeignTeacher:
    """A model of transformers with one head."""

    name: str
    folder: Path
    network: Any
    own_head: HeadConfig
    layouts: tuple[Layout, Layout]
    """Of a single text, and of a pair."""
    ids: dict[str, int]
    """By word piece."""
    pad_id: int
    positions: int
    """Tokens that it reads at most, its special ones too."""
    pieces: dict[int, str]
    """The student's, by id."""

    @cached_property
    def hash(self) -> str:
        digest = sha256(repr(sorted(self.pieces.items())).encode())  # it is told ids of the student's
        for file in sorted(self.folder.iterdir()):
            if file.suffix in MODEL_FILES:
                digest_of(file, digest)
        return digest.hexdigest()

    def head(self, wanted: HeadConfig) -> HeadConfig:
        if wanted.kind != self.own_head.kind:
            raise SqbertError(
                f"the teacher `{self.name}` has no head for `{wanted.name}`",
                hint="name another; one of a single task is `--teacher NAME=MODEL`",
            )
        return self.own_head

    def check(self, student: Checkpoint, longest: int) -> None:
        single, pair = (len(one.before) + len(one.between) + len(one.behind) for one in self.layouts)
        check_positions(self.name, self.positions - max(single - 2, pair - 3), longest)

    def rest(self) -> None:
        self.network.cpu()

    def rows(self, head: HeadConfig, windows: Sequence[Window], device: torch.device) -> list[Tensor]:
        self.network.to(device).eval()
        max_tokens = CUDA_BATCH_TOKENS if device.type == "cuda" else BATCH_TOKENS
        return in_batches(windows, max_tokens, lambda some: self.scores(some, device))

    def scores(self, windows: Sequence[Window], device: torch.device) -> list[Tensor]:
        """As `rows`, of one batch, and with gradients where they are wanted."""
        rows = [self._translated(window) for window in windows]
        scores = self._logits(rows, device)
        if self.own_head.kind == "sequence":
            return list(scores)
        return [row[places] for row, (_, _, places) in zip(scores, rows, strict=True)]

    def _translated(self, window: Window) -> tuple[list[int], list[int], list[int]]:
        """Return the teacher's ids and token types, and where the student's tokens stand among them."""
        count = window.token_type_ids.count(0)
        first, second = window.input_ids[1 : count - 1], window.input_ids[count:-1]
        layout, is_pair = self.layouts[count < len(window)], count < len(window)
        ids = [*layout.before, *map(self._id, first)]
        places = [0, *range(len(layout.before), len(ids)), len(ids)]
        kinds = layout.types or [0] * (len(layout.between) + 2)
        types = kinds[:1] * len(ids)
        if is_pair:
            ids += [*layout.between, *map(self._id, second)]
            places += [*range(len(ids) - len(second), len(ids)), len(ids)]
            types += kinds[1:-1]
        ids += layout.behind
        types += kinds[-1:] * (len(ids) - len(types))
        return ids, types, places

    def _id(self, token: int) -> int:
        piece = self.pieces[token]
        if piece not in self.ids:
            raise SqbertError(
                f"the teacher `{self.name}` does not know the word piece `{piece}`",
                hint=SAME_PIECES,
            )
        return self.ids[piece]

    def _logits(self, rows: Sequence[tuple[list[int], list[int], list[int]]], device: torch.device) -> Tensor:
        length = max(len(ids) for ids, _, _ in rows)
        inputs = {
            "input_ids": [ids + [self.pad_id] * (length - len(ids)) for ids, _, _ in rows],
            "attention_mask": [[1] * len(ids) + [0] * (length - len(ids)) for ids, _, _ in rows],
        }
        if self.layouts[1].types is not None:
            inputs["token_type_ids"] = [types + [0] * (length - len(types)) for _, types, _ in rows]
        out = self.network(**{name: torch.tensor(values, device=device) for name, values in inputs.items()})
        if self.own_head.kind == "span":
            return torch.stack([out.start_logits, out.end_logits], -1).float().cpu()
        return out.logits.float().cpu()


def load_teachers(names: Mapping[str, str], student: Checkpoint, *, offline: bool = False) -> dict[str, Teacher]:
    """Load the models that tell about heads, by the heads' names; each once."""
    models = {name: load_teacher(name, student, offline=offline) for name in dict.fromkeys(names.values())}
    return {head: models[name] for head, name in names.items()}


def load_teacher(name: str, student: Checkpoint, *, offline: bool = False) -> Teacher:
    """Load a teacher of our own family, or of another through transformers."""
    folder = find_model(name, offline=offline, any_family=True)
    if read_config(folder).get("model_type") in MODEL_TYPES:
        return OwnTeacher(load_checkpoint(name, offline=offline))
    return load_foreign(folder, name, student)


def load_foreign(folder: Path, name: str, student: Checkpoint) -> ForeignTeacher:
    """Raise `SqbertError` where transformers is missing, or the model has no head that a student could learn."""
    try:
        import transformers
    except ImportError as error:
        raise SqbertError(
            f"the teacher `{name}` is of another family than BERT, which needs transformers",
            hint="pip install 'sqbert[teachers]'",
        ) from error
    architecture = str((read_config(folder).get("architectures") or [""])[0])
    kind = next((kind for suffix, kind in KINDS.items() if architecture.endswith(suffix)), None)
    if kind is None:
        raise SqbertError(
            f"the teacher `{name}` ({architecture or 'no architecture'}) has no head that can be learnt from"
        )
    model_class = getattr(transformers, CLASSES[kind])
    try:
        network = model_class.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (*UNREADABLE, ImportError) as error:  # damaged, or of a family that needs another package
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise SqbertError(f"the teacher `{name}` cannot be read: {reason}") from error
    ids = dict(tokenizer.get_vocab())
    ids |= {"[UNK]": tokenizer.unk_token_id, MASK: tokenizer.mask_token_id, "[PAD]": tokenizer.pad_token_id}
    labels = tuple(str(network.config.id2label[index]) for index in sorted(network.config.id2label))
    head = HeadConfig(
        name=kind, kind=kind, labels=() if kind == "span" else labels, problem_type=_problem(network.config)
    )
    return ForeignTeacher(
        name=name,
        folder=folder,
        network=network,
        own_head=head,
        layouts=(_layout(tokenizer, is_pair=False), _layout(tokenizer, is_pair=True)),
        ids=ids,
        pad_id=tokenizer.pad_token_id,
        positions=min(tokenizer.model_max_length, network.config.max_position_embeddings),
        pieces={index: piece for piece, index in student.tokenizer.pieces.get_vocab().items()},
    )


def _problem(config: Any) -> Any:
    one = "regression" if config.num_labels == 1 else "single_label_classification"
    return getattr(config, "problem_type", None) or one


def _layout(tokenizer: Any, *, is_pair: bool) -> Layout:
    """Told from how the teacher's own tokenizer puts together two texts of a word each."""
    a, b = (tokenizer.convert_tokens_to_ids(word) for word in ("a", "b"))
    encoded = tokenizer("a", "b") if is_pair else tokenizer("a")
    ids, types = list(encoded["input_ids"]), encoded.get("token_type_ids")
    if a not in ids:
        raise SqbertError("the teacher marks where words begin, so its word pieces are others", hint=SAME_PIECES)
    first = ids.index(a)
    if not is_pair:
        return Layout(ids[:first], [], ids[first + 1 :], None if types is None else types[first : first + 1])
    second = len(ids) - 1 - ids[::-1].index(b)
    kinds = None if types is None else types[first : second + 1]
    return Layout(ids[:first], ids[first + 1 : second], ids[second + 1 :], kinds)
