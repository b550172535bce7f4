"""Imports point one way, each package has its home, and what needs no torch does not wait for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, run_sqbert

PACKAGE = ROOT / "sqbert_cli"
# A module imports only from earlier lines, or from its own.
LAYERS = (
    ("sqbert_cli", "errors", "records", "files", "process"),
    ("text",),
    ("model",),
    ("headers", "folder", "tensors"),
    ("engines",),
    ("batch",),
    ("checkpoint", "hub"),
    ("places", "summary"),
    ("models", "convert"),
    ("tasks",),
    ("predict",),
    ("evaluation", "api", "export"),
    ("job",),
    ("bulk",),
    ("training",),
    ("bench",),
    ("phone",),
    ("console",),
    ("views",),
    ("commands",),
    ("cli", "__main__"),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
HOMES = {
    "torch": {
        "model",
        "tensors",
        "engines",
        "batch",
        "checkpoint",
        "models",
        "convert",
        "export",
        "tasks",
        "predict",
        "evaluation",
        "api",
        "training",
        "bench",
        "phone",
    },
    "typer": {"commands", "cli"},
    "rich": {"console", "views"},
    "tokenizers": {"text", "training"},
    "safetensors": {"tensors", "checkpoint", "training", "phone"},
    "huggingface_hub": {"hub"},
    "filelock": {"training"},
    "platformdirs": {"places", "phone"},
    "sklearn": {"tasks"},
    "scipy": {"tasks", "training", "bench"},
    "seqeval": {"tasks"},
    "numpy": {"tasks", "files", "text", "training", "bench"},
    "datasets": {"tasks"},
    "matplotlib": {"bench"},
    "openvino": {"bench"},
    "onnx": {"engines"},
    "onnxruntime": {"bench", "engines"},
    "transformers": {"bench", "training"},
    "ray": {"bulk"},
    "pyarrow": {"bulk"},
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Absolute names of all that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(name: str) -> str:
    """`sqbert_cli.text.readers.Fields` is of the part `text`; `sqbert_cli.__version__` of the package itself."""
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[1] in RANK else pieces[0]


FILES = sorted(PACKAGE.rglob("*.py"))


def test_imports_point_downwards() -> None:
    for path in FILES:
        own = part_of(".".join(["sqbert_cli", *path.relative_to(PACKAGE).with_suffix("").parts]))
        for name in imports(path):
            if name.startswith("sqbert_cli") and path != PACKAGE / "__init__.py":
                assert RANK[part_of(name)] <= RANK[own], f"{path} imports {name}"
            elif (package := name.split(".")[0]) in HOMES:
                assert own in HOMES[package], f"{package} is at home in {HOMES[package]}, not in {path}"


LIGHT = (
    "--help", "--version", "classify --help", "classify --top-k 0 a", "classify a b --pair c", "clasify",
    "classify --input nowhere.txt", "finetune", "finetune --output x",
    "finetune --output x --train README.md --data .", "evaluate", "evaluate --task sst3", "pretrain",
    "ner --help", "ner --labels ,", "qa --help", "qa --context README.md", "fill-mask --help",
    "embed --output x.txt", "models", "models info --help", "models list", "models rm org/none", "models pull",
    "models export a b", "models convert a b --to onnx", "classify --labels a,a x", "classify --template x y",
    "ner --ray local a", "ner --ray local --input tests", "qa --workers 2", "embed --ray auto --input x a",
    "bench --help", "bench --engines nothing", "bench --lengths 0", "bench --compare nowhere.json",
)  # fmt: skip
FORKS = """
import os, sys
from sqbert_cli.cli import main
for arguments in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork() == 0:
        sys.argv = ["sqbert", *arguments.split()]
        try:
            main()
        except SystemExit:
            pass
        loaded = {"torch", "tokenizers", "numpy", "ray", "pyarrow"} & set(sys.modules)
        print("LOADED", sorted(loaded), arguments, flush=True)
        os._exit(0)
    os.wait()
"""


def test_help_and_argument_errors_never_import_torch() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKS, *LIGHT], capture_output=True, text=True, cwd=ROOT, timeout=120)
    said = [line for line in ended.stdout.splitlines() if line.startswith("LOADED")]
    assert said == [f"LOADED [] {arguments}" for arguments in LIGHT], ended.stderr


def test_classifying_does_not_import_what_others_need(tiny_model: Path) -> None:
    code = (
        "import sys\nfrom sqbert_cli import classify, load\n"
        f"list(classify(load({str(tiny_model)!r}), ['good film']))\n"
        "others = {'sklearn', 'scipy', 'seqeval', 'datasets', 'transformers', 'huggingface_hub', 'sympy'}\n"
        "print(sorted(others & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_no_file_is_long_and_few_functions_are() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in FILES}
    assert max(lengths.values()) <= 260, max(lengths, key=lengths.__getitem__)
    functions = [
        node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    ]
    assert sorted(functions)[int(0.9 * len(functions))] <= 35


def test_it_runs_as_a_module() -> None:
    ran = run_sqbert("--version")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("sqbert 0.")
