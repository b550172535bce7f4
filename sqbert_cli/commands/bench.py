"""`sqbert bench`: how fast, beside whom, and how sure."""

from __future__ import annotations

import os
import re
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from sqbert_cli.bench.cases import DtypeName, EngineName
from sqbert_cli.commands import options, phone_options
from sqbert_cli.phone.course import Course

CASES, MEASURING = "Cases", "Measuring"
PLOTS = (".svg", ".png", ".pdf")


def bench(
    models: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=CASES,
            metavar="A,B,...",
            help="Names, folders, or the shapes squeezebert-base and bert-base with random weights; default: "
            "sqbert-small and both shapes.",
        ),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=CASES, metavar="A,B,...", help=f"Of {', '.join(get_args(EngineName))}; default: all."
        ),
    ] = None,
    dtypes: Annotated[
        str | None,
        typer.Option(rich_help_panel=CASES, metavar="A,B,...", help=f"Of {', '.join(get_args(DtypeName))}."),
    ] = None,
    lengths: Annotated[str, typer.Option(rich_help_panel=CASES, help="Tokens of a row.")] = "128",
    batch_sizes: Annotated[str, typer.Option(rich_help_panel=CASES, help="Rows of a batch.")] = "1",
    threads: Annotated[
        str | None, typer.Option(rich_help_panel=CASES, help="Processor threads; default: one for each core.")
    ] = None,
    baseline: Annotated[
        Literal["transformers", "sqbert-plain"] | None,
        typer.Option(
            rich_help_panel=MEASURING,
            help="Engine whose float32 is 1; default: transformers where it is installed, else our plain layers.",
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=MEASURING, min=1, help="Timed runs of each case (default: 50; of whole commands: 3) ..."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(rich_help_panel=MEASURING, min=0, help="... or so many seconds of them, if these are over.")
    ] = 3.0,
    cold: Annotated[
        bool,
        typer.Option("--cold", rich_help_panel=MEASURING, help="Also what fresh processes pay: start, load, memory."),
    ] = False,
    throughput: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=MEASURING,
            exists=True,
            dir_okay=False,
            help="Instead: whole commands on a JSONL file with `text`, beside the pipeline of transformers.",
        ),
    ] = None,
    task: Annotated[
        Literal["classify", "ner"] | None,
        typer.Option(rich_help_panel=MEASURING, help="Of --throughput; default: classify."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT, dir_okay=False, help="Write every raw time and the machine's facts."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(rich_help_panel=options.OUTPUT, dir_okay=False, help="Write a figure (.svg, .png or .pdf)."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT, exists=True, dir_okay=False, help="An earlier --json: what has changed?"
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", rich_help_panel=options.OUTPUT, help="Show tables in Markdown, to paste.")
    ] = False,
    device: phone_options.Device = None,
    runtime: phone_options.Runtime = None,
    serial: phone_options.Serial = None,
    any_device: phone_options.AnyDevice = False,
    cooldown: phone_options.Cooldown = None,
    force: phone_options.Force = False,
    check: phone_options.Check = False,
    setup: phone_options.Setup = False,
    purge: phone_options.Purge = False,
    offline: options.Offline = False,
) -> None:
    """Measure latency: our engines beside those of others, on this machine.

    sqbert bench

    sqbert bench --models squeezebert-base,bert-base --lengths 32,128 --batch-sizes 1,8 --json a.json --plot a.svg

    sqbert bench --models squeezebert-base --engines sqbert --compare a.json

    sqbert bench --throughput reviews.jsonl --models my-model

    sqbert bench --device pixel3 --json pixel3.json

    All engines get the same ids and weights and run in turn, round by round; the output of each is compared with our
    network in float32 first, and one that computes something else ends the run. What is not installed is skipped and
    named. Ratios are of medians, with the interval that a bootstrap over rounds gives at 95 %.
    """
    of_phone = (runtime, serial, any_device, cooldown is not None, force, check, purge)
    of_here = (engines, dtypes, baseline, cold, throughput, task, batch_sizes != "1", seconds != 3.0)
    of_cases = (cold, json, plot, compare, engines, threads, baseline, markdown)
    written = [file for file in (json, plot) if file is not None]
    lost = next((file for file in written if not os.access(file.parent, os.W_OK)), None)
    odd = next((file for file in written if file.exists() and not file.is_file()), None)
    names = options.choices(engines, "--engines", get_args(EngineName))
    wanted_dtypes = None if dtypes is None else options.choices(dtypes, "--dtypes", get_args(DtypeName))
    token_counts = options.numbers(lengths, "--lengths", 2, 1_000_000)
    row_counts = options.numbers(batch_sizes, "--batch-sizes", 1, 100_000)
    options.refuse(
        (not device and any((*of_phone, setup)), "the options of a phone go with --device pixel3 or --device ssh:HOST"),
        (
            device and any(of_here),
            "--device goes with --models, --lengths, --threads, --runs, --json, --plot, --compare",
        ),
        (
            device is not None and not re.fullmatch(r"pixel3|ssh:[^-].*", device),
            f"--device is pixel3 or ssh:HOST, not `{device}`",
        ),
        (plot and plot.suffix not in PLOTS, f"--plot writes {', '.join(PLOTS)}, not `{plot and plot.name}`"),
        (lost, f"there is no folder `{lost and lost.parent}` to write `{lost and lost.name}` into, or it is read-only"),
        (odd, f"`{odd}` is no plain file"),
        (device and len(token_counts) > 1, "--device takes one of --lengths"),
        (
            device and device != "pixel3" and (serial or any_device or setup),
            "--serial, --any-device and --setup are of a phone at this computer, not of one behind ssh",
        ),
        (
            setup and any((*of_phone, models, threads, runs, json, plot, compare, markdown)),
            "--setup only shows what to type in Termux, whatever else is wanted",
        ),
        (check and (written or compare or runs or markdown), "--check measures nothing to be counted, kept or shown"),
        (cooldown is not None and not isfinite(cooldown), "--cooldown is a number of seconds"),
        (force and cooldown is not None, "--force does not wait for the phone to cool: leave out --cooldown"),
        (
            throughput and (any(of_cases) or (lengths, batch_sizes, seconds) != ("128", "1", 3.0)),
            "--throughput goes with --models, --dtypes, --task and --runs only",
        ),
        (task and not throughput, "--task goes with --throughput"),
    )
    options.check_plotter(plot)
    # Not `listed`: the name of a folder stays as the locale has it.
    chosen = None if models is None else options.distinct(models.split(","), "--models")
    thread_counts = None if threads is None else options.numbers(threads, "--threads", 1, 64 if device else 1024)
    if device is not None:
        from sqbert_cli.commands.bench_phone import PhoneWish, run_phone, show_setup

        phone = PhoneWish(device, serial, any_device, chosen, json, plot, compare, markdown, offline)
        course = Course(
            runtime=runtime or "auto",
            threads=thread_counts or (1, 4),
            length=token_counts[0],
            warmup=10,
            runs=0 if check else runs or 50,
            cooldown_seconds=300.0 if cooldown is None else cooldown,
            force=force,
            purge=purge,
        )
        if setup:
            show_setup()
        else:
            run_phone(phone, course)
        return

    from sqbert_cli.commands.bench_runs import Wish, run_bench, run_throughput

    if throughput is not None:
        run_throughput(throughput, task or "classify", chosen, wanted_dtypes, runs or 3, offline)
        return
    wish = Wish(
        chosen, names, wanted_dtypes, token_counts, row_counts, thread_counts, baseline, runs or 50, seconds, cold
    )
    run_bench(wish, json, plot, compare, offline, markdown=markdown)
