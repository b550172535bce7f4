"""GLUE from the hub, through the real `datasets` and a hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub_server import lines, run, serve

CARD = """---
configs:
- config_name: mnli
  data_files:
  - {split: train, path: mnli/train-*}
  - {split: validation_matched, path: mnli/validation_matched-*}
  - {split: validation_mismatched, path: mnli/validation_mismatched-*}
---
"""
READ = """
import json
from sqbert_cli.errors import SqbertError
from sqbert_cli.tasks.glue import glue_dataset
try:
    data = glue_dataset("mnli", None)
    splits = (data.train, *data.dev)
    print(json.dumps([[split.name, [[r.text, r.pair, r.gold] for r in split.records]] for split in splits]))
except SqbertError as error:
    print(json.dumps([error.message, error.hint]))
"""


@pytest.mark.slow
def test_glue_comes_from_the_hub_and_is_kept_for_offline_use(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `data`")
    pytest.importorskip("datasets", reason="needs the extra `data`")
    import pyarrow

    repository = tmp_path / "hub" / "datasets" / "nyu-mll" / "glue"
    (repository / "mnli").mkdir(parents=True)
    (repository / "README.md").write_text(CARD)
    for split in ("train", "validation_matched", "validation_mismatched"):
        rows = {"premise": ["A.", split], "hypothesis": ["B.", "C."], "label": [0, 2], "idx": [0, 1]}
        parquet.write_table(pyarrow.table(rows), repository / "mnli" / f"{split}-00000-of-00001.parquet")
    with serve(tmp_path / "hub") as hub:
        (out,) = lines(run(READ, tmp_path / "home", hub.url))
        asked = len(hub.requests)
        imported = "import huggingface_hub.constants\n" + READ.replace("None)", "None, offline=True)")
        assert lines(run(imported, tmp_path / "home", hub.url)) == [out]
        assert len(hub.requests) == asked
    (offline,) = lines(run(READ, tmp_path / "home", hub.url, HF_HUB_OFFLINE="1"))
    assert json.loads(out) == json.loads(offline) == [
        [f"nyu-mll/glue/mnli/{split}", [["A.", "B.", "entailment"], [split, "C.", "contradiction"]]]
        for split in ("train", "validation_matched", "validation_mismatched")
    ]  # fmt: skip
    (missing,) = lines(run(READ, tmp_path / "empty", hub.url, HF_HUB_OFFLINE="1"))
    message, hint = json.loads(missing)
    assert message.startswith("`nyu-mll/glue/mnli/train` cannot be had: ")
    assert "--data FOLDER" in hint
