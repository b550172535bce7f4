"""The scripts beside the weights: steps on the way to the shipped model that no command of ours does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sqbert_cli.api import find_entities
from sqbert_cli.checkpoint import write_checkpoint
from sqbert_cli.models import find_model, load_checkpoint
from sqbert_cli.predict.rows import state_rows
from sqbert_cli.predict.texts import encode
from sqbert_cli.records import Record
from sqbert_cli.training.foreign import load_teacher
from tests.conftest import ROOT

TEXTS = [
    "I loved every minute of it.",
    "A tedious, joyless mess.",
    "Angela Merkel met Tim Cook in Berlin.",
    "The film was shot in Prague in 1968 by Jan Novak, who had worked for Reuters.",
]


def run_script(name: str, *arguments: str, given: str = "") -> str:
    command = [sys.executable, str(ROOT / "weights" / name), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_a_deepened_model_has_nearly_the_states_that_it_had(tmp_path: Path) -> None:
    """Tokens of other places are alike to 0.25; an answer near its limit may turn before anything more is learnt."""
    prose = [line for line in (ROOT / "README.md").read_text().splitlines() if len(line) > 80]
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, *prose]))
    run_script("deepen.py", "sqbert-small", str(tmp_path / "texts.txt"), str(tmp_path / "deep"))
    base, deep = load_checkpoint(), load_checkpoint(str(tmp_path / "deep"))
    assert deep.config.num_hidden_layers == 2 * base.config.num_hidden_layers
    base.network.eval(), deep.network.eval()
    windows = [window for some in encode(base, [Record(text) for text in TEXTS], 128) for window in some]
    for before, after in zip(state_rows(base, windows), state_rows(deep, windows), strict=True):
        assert torch.nn.functional.cosine_similarity(before, after, dim=-1).mean() > 0.5


def test_made_questions_ask_for_what_stands_in_the_text_and_do_not_say_it() -> None:
    entities = [list(found.entities) for found in find_entities(load_checkpoint(), TEXTS)]
    records = [
        {"text": text, "entities": [{"start": e.start, "end": e.end, "label": e.label, "score": 1.0} for e in some]}
        for text, some in zip(TEXTS, entities, strict=True)
    ]
    made = json.loads(run_script("questions.py", given="\n".join(map(json.dumps, records))))
    paragraphs = made["data"][0]["paragraphs"]
    assert paragraphs
    for paragraph in paragraphs:
        for one in paragraph["qas"]:
            answer = one["answers"][0]
            end = answer["answer_start"] + len(answer["text"])
            assert paragraph["context"][answer["answer_start"] : end] == answer["text"]
            assert answer["text"] not in one["question"]
            assert one["question"].endswith("?")


def test_made_pairs_are_turned_side_by_side_and_of_a_part(tmp_path: Path) -> None:
    tables = {
        "glue/MNLI-partial/train.tsv": "sentence1\tsentence2\nTwo old men sat down. They ate a big apple.\tThey ate.\n",
        "nli/cad-snli/train.tsv": "sentence1\tsentence2\nTwo dogs run.\tDogs run.\nTwo dogs run.\tCats run.\n",
        "nli/sick/SICK_train.txt": "sentence_A\tsentence_B\nA boy sings\tA girl sings\n",
        "glue/RTE/train.tsv": "sentence1\tsentence2\nIt rains in Rome.\tIt rains.\n",
        "glue/QQP-partial/pairs.tsv": "1\t2\t3\tWho is he?\tWho is that?\t1\n",
        "glue/MRPC/msr_paraphrase_train.txt": "#1 String\t#2 String\nShe left.\tShe went.\n",
        "nli/snli-dev.jsonl": '{"premise": "A cat sleeps.", "hypothesis": "It rests."}\n',
    }
    for name, content in tables.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    made = [json.loads(line) for line in run_script("pairs.py", str(tmp_path)).splitlines()]
    pairs = {(one["premise"], one["hypothesis"]) for one in made}
    assert len(pairs) == len(made)
    assert pairs >= {
        ("It rests.", "A cat sleeps."),
        ("Dogs run.", "Cats run."),
        ("Cats run.", "Dogs run."),
        ("Who is he?", "Who is that?"),
    }
    first = "Two old men sat down. They ate a big apple."
    assert pairs & {(first, sentence) for sentence in ("Two old men sat down.", "They ate a big apple.")}
    assert ("Two dogs run.", "Dogs run.") not in pairs


@pytest.mark.slow
def test_mpnet_is_taught_a_task_and_can_teach_it_then(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pieces = json.loads((find_model("sqbert-small") / "tokenizer.json").read_text())["model"]["vocab"]
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *pieces]
    (tmp_path / "mpnet").mkdir()
    (tmp_path / "mpnet" / "vocab.txt").write_text("\n".join(words))
    transformers.MPNetTokenizerFast.from_pretrained(tmp_path / "mpnet").save_pretrained(tmp_path / "mpnet")
    config = transformers.MPNetConfig(
        vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=160, pad_token_id=1,
    )  # fmt: skip
    transformers.MPNetModel(config).save_pretrained(tmp_path / "mpnet")
    lines = [f"{name} B-PER\nleft O\n{place} B-LOC\n" for name in ("Anna", "Ben") for place in ("Oslo", "Rome")]
    (tmp_path / "train.conll").write_text("\n".join(lines))
    task, taught = f"ner={tmp_path}/train.conll:{tmp_path}/train.conll", str(tmp_path / "taught")
    told = run_script(
        "teach_mpnet.py", str(tmp_path / "mpnet"), task, taught,
        "--epochs", "60", "--batch-size", "4", "--learning-rate", "0.02", "--frozen-layers", "1",
    )  # fmt: skip
    assert told.splitlines()[-1] == "dev 1.0000"
    student = load_checkpoint()
    teacher = load_teacher(taught, student)
    window = student.tokenizer.windows(student.tokenizer.encode(["Ben left Rome"])[0], None, 128)[0]
    (row,) = teacher.rows(teacher.head(student.head("token", "ner")), [window], torch.device("cpu"))
    labels = teacher.head(student.head("token", "ner")).labels
    assert [labels[tag] for tag in row.argmax(-1).tolist()[1:-1]] == ["B-PER", "O", "B-LOC"]


def test_sentences_in_a_row_are_of_one_document_and_lose_no_word(tmp_path: Path) -> None:
    file = tmp_path / "eng.train"
    first, second = "EU NNP B-ORG\nrejects VBZ O\n\ncall NN O\n\n", "Peter NNP I-PER\n\nBlackburn NNP I-PER\n"
    file.write_text(f"-DOCSTART- -X- O O\n\n{first}-DOCSTART- -X- O O\n\n{second}")
    assert run_script("join_sentences.py", str(file), "100").split("\n\n")[:-1] == [
        "EU B-ORG\nrejects O\ncall O",
        "Peter B-PER\nBlackburn B-PER",
    ]
    single = run_script("join_sentences.py", str(file), "1").split("\n\n")[:-1]
    assert single == ["EU B-ORG\nrejects O", "call O", "Peter B-PER", "Blackburn B-PER"]


def test_an_average_lies_between_two_models(make_model: Callable[..., Path], tmp_path: Path) -> None:
    ours, theirs = make_model(), tmp_path / "theirs"
    other = load_checkpoint(str(ours))
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.neg_()
    write_checkpoint(other, theirs)
    for share in (0.0, 0.25, 1.0):
        output = tmp_path / str(share)
        run_script("average.py", str(ours), str(theirs), str(share), str(output))
        states = [load_checkpoint(str(folder)).network.state_dict() for folder in (ours, theirs, output)]
        for name, mean in states[2].items():
            torch.testing.assert_close(mean, states[0][name].lerp(states[1][name], share), atol=1e-3, rtol=1e-3)
