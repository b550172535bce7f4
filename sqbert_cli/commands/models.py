"""`sqbert models`: which there are, what each is and can do, from the hub and to other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sqbert_cli.commands import options

models = typer.Typer(no_args_is_help=True, help="List, pull, convert and export models.")

ModelArgument = Annotated[str, typer.Argument(help="A shipped name, a folder or a hub id.")]
HubNames = Annotated[list[str], typer.Argument(metavar="ORG/NAME[@REVISION]...", help="Names on the hub.")]
Format = Annotated[
    Literal["auto", "table", "json"],
    typer.Option(rich_help_panel=options.OUTPUT, help="auto: a table for a terminal, JSON for a pipe."),
]


@models.callback()
def group() -> None:
    """List, pull, convert and export models."""


@models.command("list")
def list_models(
    folders: Annotated[list[str] | None, typer.Argument(help="Folders of models of your own.")] = None,
    format: Format = "auto",
) -> None:
    """List the models that are here: shipped, pulled, and in the folders that are named.

    sqbert models list

    sqbert models list runs/* --format json

    Only headers and JSON are read, no weights. In a pipe each model is a line of JSON. One that cannot be used is
    listed with its `problem`, and the exit status is then 1.
    """
    from sqbert_cli.console import is_table
    from sqbert_cli.summary import all_models, summary
    from sqbert_cli.views.models import show_list

    found = [summary(place) for place in all_models(folders or [])]
    show_list(found) if is_table(format) else _print_json(*found)
    if any("problem" in one for one in found):
        raise typer.Exit(1)


@models.command()
def info(
    model: Annotated[
        str | None, typer.Argument(help="A shipped name, a folder or a hub id; default: sqbert-small.")
    ] = None,
    format: Format = "auto",
    offline: options.Offline = False,
) -> None:
    """Show what a model is: its shape, its heads and their labels, where it is from, and how well it does.

    sqbert models info

    sqbert models info my-model --format json
    """
    from sqbert_cli.console import is_table
    from sqbert_cli.models import describe
    from sqbert_cli.views.models import show_model

    about = describe(model, offline=offline)
    show_model(about) if is_table(format) else _print_json(about)


@models.command()
def pull(names: HubNames, format: Format = "auto") -> None:
    """Fetch models from the hub, to be used by their names from then on, with `--offline` without a network.

    sqbert models pull squeezebert/squeezebert-mnli

    Any SqueezeBERT or BERT of the hub will do. An interrupted download goes on where it stopped; every file is compared
    with the hub's hash, no code of a repository is run, and the model is converted once into our format. What was
    damaged since is fetched again. HF_ENDPOINT names a mirror, HTTPS_PROXY a proxy, HF_TOKEN opens what is private.
    """
    from sqbert_cli.console import is_table, show_error, talk
    from sqbert_cli.errors import SqbertError
    from sqbert_cli.models import pull as pull_model
    from sqbert_cli.places import hub_name
    from sqbert_cli.summary import Place, summary
    from sqbert_cli.views.models import show_pulled

    failed = False
    for name in names:
        try:
            if (parsed := hub_name(name)) is None:
                raise SqbertError(f"`{name}` is no name on the hub", hint="expected `org/name` or `org/name@revision`")
            talk.print(f"pulling {parsed}")
            pulled = summary(Place(name, pull_model(parsed), "pulled"))
            show_pulled(pulled) if is_table(format) else _print_json(pulled)
        except SqbertError as error:  # the others are still wanted
            show_error(error)
            failed = True
    if failed:
        raise typer.Exit(1)


@models.command()
def rm(names: HubNames) -> None:
    """Remove models that were pulled, from our cache only: never a folder of yours, nor what is shipped.

    sqbert models rm squeezebert/squeezebert-mnli

    Without a revision all commits go. The hub's own cache keeps the download; where it is, is said.
    """
    from sqbert_cli.console import talk
    from sqbert_cli.hub import download_folder
    from sqbert_cli.places import bytes_below, choose_pulled, remove_pulled, sweep_pulled

    sweep_pulled()
    chosen = choose_pulled(names)
    for one in chosen:
        typer.echo(f"{one.repo_id}@{one.commit}: {remove_pulled(one) / 1e6:,.1f} MB freed")
    for repo_id in dict.fromkeys(one.repo_id for one in chosen):
        if left := download_folder(repo_id):
            size = bytes_below(left) / 1e6
            talk.print(f"the download of {repo_id} is still in the hub's cache ({size:,.1f} MB): remove {left}")


@models.command()
def convert(
    model: ModelArgument,
    output: Annotated[Path, typer.Argument(help="Folder to write; a new or an empty one.")],
    to: Annotated[
        Literal["transformers", "sqbert"] | None,
        typer.Option(rich_help_panel=options.OUTPUT, help="For whom; default: of the two the one it is not for yet."),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="Precision of the weights; default: float32 for transformers (it computes in what it finds), else "
            "float16 where that loses nothing.",
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(rich_help_panel=options.OUTPUT, help="The head to keep; transformers knows only one.")
    ] = None,
    offline: options.Offline = False,
) -> None:
    """Write a model for transformers, or one of transformers for sqbert.

    sqbert models convert sqbert-small for-transformers --head ner

    sqbert models convert downloaded-folder ours --dtype float16

    What is written for transformers opens with AutoModelForSequenceClassification, ...TokenClassification,
    ...QuestionAnswering or ...MaskedLM, whichever the head is for, and with AutoTokenizer. The folder appears whole or
    not at all.
    """
    from sqbert_cli.convert import convert as convert_model

    _print_json(convert_model(model, output, to, dtype, head, offline=offline))


@models.command()
def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Argument(help="File to write.", dir_okay=False)],
    format: Annotated[
        Literal["onnx", "torchscript", "pt2"],
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="onnx: for ONNX Runtime and whatever reads ONNX, in any language, and for quantising (needs "
            "'sqbert[export]'). torchscript: for libtorch, in C++ and on phones. pt2: a program of torch.export, for "
            "AOTInductor and ExecuTorch.",
        ),
    ],
    head: Annotated[
        str | None, typer.Option(rich_help_panel=options.OUTPUT, help="Which head; needed where there are several.")
    ] = None,
    offline: options.Offline = False,
) -> None:
    """Write one head of a model as a file for other runtimes, in float32.

    sqbert models export sqbert-small ner.onnx --format onnx --head ner

    Inputs are `input_ids`, `attention_mask` and `token_type_ids` (batch, length), int64, padded on the right; the
    output is `logits`, `vectors` of length 1 for a head of vectors, or the encoder's `hidden` where there is no head.
    Batch and length are free. Labels, the longest window and the whole `tokenizer.json` are inside, as `sqbert` and
    `tokenizer` (ONNX: metadata; the others: extra files). The file is compared with the model on several shapes before
    it appears.
    """
    from sqbert_cli.export import export as export_model

    _print_json(export_model(model, output, format, head, offline=offline))


def _print_json(*values: object) -> None:
    import json

    from sqbert_cli.console import write_out

    for one in values:
        write_out(json.dumps(one, ensure_ascii=False) + "\n")
