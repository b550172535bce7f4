"""Options of training, as `FinetuneSettings` explains them."""

from __future__ import annotations

from typing import Annotated

import typer

from sqbert_cli.commands.options import TRAINING
from sqbert_cli.model.config import MIN_LENGTH

FreezeEncoder = Annotated[
    bool,
    typer.Option(
        "--freeze-encoder",
        rich_help_panel=TRAINING,
        help="Teach the new head only, beside the heads that --model has.",
    ),
]
Power = Annotated[
    float,
    typer.Option(
        rich_help_panel=TRAINING,
        min=0,
        max=2,
        help="With --multi: tasks are seen by their size to this power.",
    ),
]
Epochs = Annotated[
    float,
    typer.Option(
        rich_help_panel=TRAINING,
        min=0.001,
        max=10_000,
        help="Times through the examples; with --multi through those of all tasks together.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(rich_help_panel=TRAINING, min=1, help="Windows of text in a step, or in a part of it."),
]
Accumulation = Annotated[int, typer.Option(rich_help_panel=TRAINING, min=1, help="Parts of --batch-size in a step.")]
MaxLength = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=TRAINING,
        min=MIN_LENGTH,
        help="Tokens in a window; longer texts are several. Default: 128, with a question 256.",
    ),
]
LearningRate = Annotated[float, typer.Option(rich_help_panel=TRAINING, min=0, max=1, help="Highest learning rate.")]
Warmup = Annotated[
    float, typer.Option(rich_help_panel=TRAINING, min=0, max=1, help="Share of the steps spent warming up.")
]
WeightDecay = Annotated[float, typer.Option(rich_help_panel=TRAINING, min=0, help="Not on biases and norms.")]
MaxGradNorm = Annotated[
    float, typer.Option(rich_help_panel=TRAINING, min=1e-6, help="Longer gradients are cut to this.")
]
Dropout = Annotated[
    float, typer.Option(rich_help_panel=TRAINING, min=0, max=0.9, help="Share of activations left out.")
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=TRAINING,
        min=0,
        max=0.9,
        help="Doubt in the labels. Default: 0.1 where one of 20 or more is right for a text, else none.",
    ),
]
ClassWeights = Annotated[
    bool, typer.Option("--class-weights", rich_help_panel=TRAINING, help="Rare labels weigh more.")
]
EmbeddingRate = Annotated[
    float,
    typer.Option(
        rich_help_panel=TRAINING,
        min=0,
        max=1,
        help="Learning rate of the embeddings, as a share of the others'; 0 leaves them alone.",
    ),
]
Teacher = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=TRAINING,
        metavar="[NAME=]MODEL",
        help="A better model of the same labels to learn from; NAME=MODEL: for that task of --multi only.",
    ),
]
Unlabelled = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=TRAINING,
        metavar="[NAME=]FILE",
        help="Texts, one a line, whose labels the teacher tells, or pairs (JSONL, CSV, TSV; SQuAD's JSON). "
        "NAME: a task of --multi, if not the first.",
    ),
]
TeacherWeight = Annotated[float, typer.Option(rich_help_panel=TRAINING, min=0, max=1, help="Its share of the loss.")]
StateWeight = Annotated[
    float,
    typer.Option(rich_help_panel=TRAINING, min=0, help="Weight of its hidden states, if it is as wide as the student."),
]
Temperature = Annotated[float, typer.Option(rich_help_panel=TRAINING, min=0.1, help="Softens its scores.")]
EvalSteps = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=TRAINING, min=1, help="Default: two evaluations an epoch, but at least ten steps apart."
    ),
]
SaveSteps = Annotated[
    int, typer.Option(rich_help_panel=TRAINING, min=1, help="Steps between two writes of the resume file.")
]
Patience = Annotated[
    int | None,
    typer.Option(rich_help_panel=TRAINING, min=1, help="Stop after N evaluations without a gain."),
]
