"""A benchmark that times the right thing, in turn, says how sure it is, and keeps what it measured."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from sqbert_cli.batch import Batch
from sqbert_cli.bench import engines, machine, throughput
from sqbert_cli.bench.cases import Case, Doing, Floor, Measurement, Shape, Skipped
from sqbert_cli.bench.cold import Start, cold_starts
from sqbert_cli.bench.flops import encoder_flops, gflop
from sqbert_cli.bench.measure import measure, random_batch
from sqbert_cli.bench.plot import plot
from sqbert_cli.bench.report import Report, compare, read_report, write_report
from sqbert_cli.bench.statistics import change, speed_ratio, summarise
from sqbert_cli.bench.subjects import SHAPES, Subject, is_dev_of_sst2, load_subject
from sqbert_cli.commands.bench_runs import keep
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.network import Network
from tests.conftest import run_sqbert

REPORT = """{"sqbert_bench": 1, "machine": {}, "models": {}, "baseline": "x", "measurements": [{"case":
{"model": "a", "engine": "b", "dtype": "c", "shape": {"batch_size": 1, "length": 2, "threads": 1}},
"times_ms": %s, "difference": 0, "gflop": 1, "weights": "random"}]}"""
SHAPE = Shape(batch_size=2, length=8, threads=1)


def case(engine: str = "sqbert", dtype: str = "float32", model: str = "tiny", shape: Shape = SHAPE) -> Case:
    return Case(model, engine, dtype, shape)  # type: ignore[arg-type]


def measurement(*times: float, **of: str) -> Measurement:
    return Measurement(case(**of), times, 0.0, 1.0, "random")


@pytest.fixture
def subject(tiny_model: Path) -> Subject:
    return replace(load_subject(str(tiny_model)), name="tiny")


def events(subject: Subject, *cases: Case, runs: int = 3) -> list[object]:
    return list(measure(cases, {"tiny": subject}, runs=runs, seconds=60))


# What is timed


@pytest.mark.parametrize("engine", ["sqbert", "sqbert-plain", "transformers"])
def test_an_engine_is_timed_so_many_times_and_computes_our_output(engine: str, subject: Subject) -> None:
    (one,) = [event for event in events(subject, case(engine)) if isinstance(event, Measurement)]
    assert len(one.times_ms) == 3
    assert all(time > 0 for time in one.times_ms)
    assert one.difference < 1e-5


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "sqbert-openvino"])
def test_engines_of_others_compute_our_output(engine: str, subject: Subject) -> None:
    if missing := engines.ENGINES[engine].missing("float32"):  # type: ignore[index]
        pytest.skip(missing)
    (one,) = [event for event in events(subject, case(engine)) if isinstance(event, Measurement)]
    assert one.difference < 1e-5


def test_a_round_runs_every_engine_once(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def prepare(name: str) -> Callable[..., object]:
        def prepared(network: Network, dtype: str, example: Batch, threads: int) -> Callable[[Batch], torch.Tensor]:
            def forward(batch: Batch) -> torch.Tensor:
                calls.append(name)
                return network.transformer(*batch.inputs())

            return forward

        return prepared

    for name in ("sqbert", "sqbert-plain"):
        changed = replace(engines.ENGINES[name], prepare=prepare(name))  # type: ignore[index, arg-type]
        monkeypatch.setitem(engines.ENGINES, name, changed)  # type: ignore[arg-type]
    events(subject, case("sqbert"), case("sqbert-plain"), runs=4)
    rounds = [set(calls[-8:][place : place + 2]) for place in range(0, 8, 2)]
    assert rounds == [{"sqbert", "sqbert-plain"}] * 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("wrong", ["ignores the mask", "has other weights", "gives no numbers"])
def test_an_engine_that_computes_something_else_is_an_error(
    wrong: str, dtype: str, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(network: Network, *_: object) -> Callable[[Batch], torch.Tensor]:
        def forward(batch: Batch) -> torch.Tensor:
            ids, mask, types = batch.inputs()
            if wrong == "ignores the mask":
                return network.transformer(ids, torch.ones_like(mask), types)
            output = network.transformer(ids, mask, types)
            return output.flip(-1) if wrong == "has other weights" else output * float("nan")

        return forward

    monkeypatch.setitem(engines.ENGINES, "sqbert", replace(engines.ENGINES["sqbert"], prepare=prepare))
    monkeypatch.setattr(engines, "computes_bfloat16", lambda: True)
    with pytest.raises(SqbertError, match=f"tiny, sqbert, {dtype}: its output differs"):
        events(subject, case(dtype=dtype))


def test_an_engine_that_cannot_be_made_is_skipped_with_what_it_said(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(*_: object) -> None:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setitem(engines.ENGINES, "sqbert", replace(engines.ENGINES["sqbert"], prepare=prepare))  # type: ignore[arg-type]
    skipped, *_ = [event for event in events(subject, case()) if isinstance(event, Skipped)]
    assert skipped.reason == "RuntimeError: no C++ compiler"


def test_what_is_not_installed_is_skipped_with_the_remedy(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    skipped, *_ = [event for event in events(subject, case("openvino"), case()) if isinstance(event, Skipped)]
    assert "pip install 'sqbert[bench]'" in skipped.reason


def test_more_tokens_than_positions_are_skipped(subject: Subject) -> None:
    long = case(shape=replace(SHAPE, length=513))
    assert [event.reason for event in events(subject, long) if isinstance(event, Skipped)] == [
        "the model has only 512 positions"
    ]


def test_time_is_up_by_the_clock(subject: Subject) -> None:
    ticks: Iterator[float] = iter(range(1_000_000))
    found = measure([case()], {"tiny": subject}, runs=50, seconds=4, clock=lambda: float(next(ticks)))
    (one,) = [event for event in found if isinstance(event, Measurement)]
    assert one.times_ms == (1_000.0,) * 6  # a second each; six make an interval


def test_what_was_timed_before_ctrl_c_is_told(subject: Subject) -> None:
    def clock() -> float:
        if (tick := next(ticks)) == 12:  # two rounds of three that run, two looks each
            raise KeyboardInterrupt
        return float(tick)

    ticks, found = iter(range(100)), list[object]()
    with pytest.raises(KeyboardInterrupt):
        found.extend(measure([case()], {"tiny": subject}, runs=50, seconds=4, clock=clock))
    (one,) = [event for event in found if isinstance(event, Measurement)]
    assert len(one.times_ms) == 2


def test_the_score_of_held_out_training_data_is_not_that_of_dev() -> None:
    assert is_dev_of_sst2("sst2: glue/SST-2/dev.tsv")
    assert is_dev_of_sst2("nyu-mll/glue/sst2/validation")
    assert not is_dev_of_sst2("held out of glue/SST-2/train.tsv")
    assert not is_dev_of_sst2("SST-2/mine.jsonl")


def test_the_floor_is_measured_in_the_same_run(subject: Subject) -> None:
    (floor,) = [event for event in events(subject, case()) if isinstance(event, Floor)]
    assert (floor.shape, floor.dtype) == (SHAPE, "float32")
    assert floor.tflops > 0


def test_all_rows_are_the_same_for_everyone(subject: Subject) -> None:
    one, other = random_batch(subject, SHAPE), random_batch(subject, SHAPE)
    assert torch.equal(one.input_ids, other.input_ids)
    assert int(random_batch(subject, SHAPE, padding=3).attention_mask.sum()) == 10


# Arithmetic


def test_flops_are_those_that_torch_counts(subject: Subject) -> None:
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        subject.network.transformer(*random_batch(subject, SHAPE).inputs())
    assert sum(encoder_flops(subject.network.config, 2, 8).values()) == counted.get_total_flops()


def test_the_published_shapes_have_the_papers_arithmetic() -> None:
    assert gflop(SHAPES["bert-base"], 1, 128) == pytest.approx(22.35, abs=0.01)
    assert gflop(SHAPES["squeezebert-base"], 1, 128) == pytest.approx(7.40, abs=0.01)


# Statistics


def test_a_summary() -> None:
    summary = summarise([float(time) for time in range(1, 101)])
    assert (summary.median, summary.min) == (50.5, 1.0)
    assert summary.p90 == pytest.approx(90.1)
    assert summary.p95 == pytest.approx(95.05)


def test_a_ratio_whose_interval_holds_one_shows_no_difference() -> None:
    noisy = [10.0, 30.0, 11.0, 29.0, 12.0, 28.0] * 3
    assert speed_ratio(noisy, noisy[::-1], same_rounds=False).verdict == "no difference shown"
    twice = speed_ratio([time * 2 for time in noisy], noisy, same_rounds=True)
    assert (twice.value, twice.low, twice.high, twice.verdict) == (2.0, 2.0, 2.0, "faster")
    assert speed_ratio([10.0] * 9, [20.0] * 9, same_rounds=False).verdict == "slower"


def test_too_few_rounds_say_nothing() -> None:
    ratio = speed_ratio([10.0] * 5, [1.0] * 5, same_rounds=True)
    assert (ratio.value, ratio.verdict, ratio.is_sure) == (10, "no difference shown", False)


def test_drift_of_the_machine_is_no_change() -> None:
    times, slower = [10.0, 11.0, 12.0] * 4, [20.0, 22.0, 24.0] * 4
    assert change(times, slower, times, slower).verdict == "no difference shown"
    assert change(times, slower, times, times).verdict == "slower"


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=6), st.lists(st.floats(0.1, 1e4), min_size=1, max_size=6))
def test_the_interval_of_a_ratio_is_ordered(theirs: list[float], ours: list[float]) -> None:
    ratio = speed_ratio(theirs, ours, same_rounds=False)
    assert 0 <= ratio.low <= ratio.high


# Reports


def report(*measurements: Measurement) -> Report:
    about = {"parameters": 1, "weights": "random", "flops": {"attention": 1}, "score": None}
    return Report(machine.machine_facts(), {"tiny": about}, "transformers", list(measurements))


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = report(measurement(1.0, 2.0), measurement(3.0, 4.0, engine="transformers"))
    write_report(written, tmp_path / "a.json")
    assert read_report(tmp_path / "a.json") == written


def test_ratios_are_to_the_baseline_in_float32() -> None:
    ours, theirs = measurement(2.0, 2.0, dtype="bfloat16"), measurement(6.0, 6.0, engine="transformers")
    of = report(ours, theirs).ratio(ours)
    assert of is not None
    assert of.value == 3
    assert report(ours).ratio(ours) is None


def test_the_share_of_the_floor() -> None:
    of = report(measurement(1.0))  # a GFLOP in a millisecond: 1 TFLOP/s
    of.floors.append(Floor(SHAPE, "float32", 4.0))
    assert of.floor_share(of.measurements[0]) == 0.25


def test_only_cases_of_both_are_compared_beside_their_control() -> None:
    control = measurement(*[4.0] * 6, engine="transformers")
    old = report(control, measurement(*[4.0] * 6), measurement(1.0, engine="openvino"))
    alone, ours = compare(old, report(control, measurement(*[2.0] * 6), measurement(1.0, engine="onnxruntime")))
    assert (alone.new.case.engine, alone.ratio) == ("transformers", None)
    assert ours.ratio is not None
    assert (ours.ratio.value, ours.ratio.verdict) == (2, "faster")
    assert [one.ratio for one in compare(report(measurement(1.0)), report(measurement(1.0)))] == [None]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "7", '{"sqbert_bench": 2}', '{"sqbert_bench": 1}', "[" * 100_000, "\x00",
             '{"sqbert_bench": 1, "machine": {}, "models": {}, "baseline": "x", "measurements": [{"case": 1}]}',
             *(REPORT % times for times in ("[]", "[0]", "[NaN]", "[1e999]", f"[1{'0' * 400}]", '["x"]'))]
)  # fmt: skip
def test_a_file_that_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SqbertError, match=r"no report|another version"):
        read_report(tmp_path / "a.json")


# The command


def test_the_command_prints_a_table_and_keeps_every_time(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "now.json"
    words = ("bench", "--models", tiny_model, "--engines", "sqbert,transformers", "--dtypes", "float32",
             "--lengths", "8,16", "--runs", "6")  # fmt: skip
    ran = run_sqbert(*words, "--json", file)
    assert ran.status == 0, ran.err
    assert len(re.findall(r"^transformers +float32 ", ran.out, re.MULTILINE)) == 2
    assert "TFLOP/s" in ran.out
    assert "of transformers" in ran.out
    written = json.loads(file.read_text())
    assert [len(one["times_ms"]) == 6 for one in written["measurements"]] == [True] * 4
    assert written["machine"]["packages"]["torch"] == torch.__version__
    assert "GFLOP for 1 x 8 tokens" in " ".join(ran.out.split())
    for other, value, said in (
        ("--lengths", "32", "none of these cases"),
        ("--baseline", "sqbert-plain", "was measured beside transformers"),
    ):
        refused = run_sqbert(*words, other, value, "--compare", file)
        assert (refused.status, refused.out) == (1, "")
        assert said in refused.err
    again = run_sqbert(*words, "--compare", file)
    assert again.status == 0, again.err
    assert any(verdict in again.out for verdict in ("faster", "slower", "no difference shown"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--engines mine", "no `mine`"),
        ("--lengths 0", "whole numbers from 2"),
        ("--batch-sizes a", "whole numbers from 1"),
        ("--plot a.gif", ".svg"),
        ("--models nowhere", "no model `nowhere`"),
        ("--engines onnxruntime --dtypes float32,bfloat16", "none of these engines computes in bfloat16"),
        ("--throughput README.md --cold", "--throughput goes with"),
        ("--throughput README.md --markdown --lengths 32", "--throughput goes with"),
        ("--json /dev/null", "is no plain file"),
        ("--throughput README.md", "README.md:1: not JSON"),
        ("--throughput README.md --dtypes float32,int8", "does not compute in int8"),
        ("--json nowhere/a.json", "no folder `nowhere`"),
        ("--task ner", "--task goes with --throughput"),
        ("--force", "the options of a phone go with --device"),
        ("--device pixel3 --cold", "--device goes with --models"),
        ("--device pixel3 --lengths 32,128", "--device takes one of --lengths"),
        ("--device pixel4", "--device is pixel3 or ssh:HOST"),
    ],
)
def test_mistakes_are_told(words: str, said: str) -> None:
    ran = run_sqbert("bench", *words.split(), cwd=Path(__file__).parent.parent)
    assert ran.status in (1, 2)
    assert said in " ".join(ran.err.replace("│", " ").split())


def test_a_result_is_kept_though_nobody_looks_and_an_old_one_though_nothing_was_measured(tmp_path: Path) -> None:
    def closed() -> None:
        raise BrokenPipeError

    empty, one = report(), report(measurement(1.0))
    (tmp_path / "a.json").write_text("{}")
    keep(empty, tmp_path / "a.json", lambda: None)
    assert (tmp_path / "a.json").read_text() == "{}"
    with pytest.raises(BrokenPipeError):
        keep(one, tmp_path / "a.json", closed)
    assert len(read_report(tmp_path / "a.json").measurements) == 1


def test_rounds_that_were_whole_are_kept_of_a_race_that_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, ran = tmp_path / "a.jsonl", []
    file.write_bytes(codecs.BOM_UTF8 + b'{"text": "a"}\n{"text": "b"}\n\n')

    def seconds(command: list[str], output: Path) -> float:
        ran.append(command)
        if len(ran) == 2 + 2 + 1:  # two sizes of batches, one round, half of the next
            raise KeyboardInterrupt
        return float(len(ran))

    monkeypatch.setattr(throughput, "_seconds", seconds)
    found = list[object]()
    with pytest.raises(KeyboardInterrupt):
        found.extend(throughput.throughput("classify", tmp_path, file, ["float32"], 3))
    ours, theirs = (event for event in found if not isinstance(event, Doing))
    assert (ours.name, ours.seconds, ours.records) == ("sqbert classify, float32", (3.0,), 2)  # type: ignore[union-attr]
    assert (theirs.name, theirs.seconds) == ("pipeline, float32, batches of 1", (4.0,))  # type: ignore[union-attr]


def test_where_nothing_was_measured_the_command_fails(tiny_model: Path) -> None:
    ran = run_sqbert("bench", "--models", tiny_model, "--engines", "sqbert", "--lengths", "100000")
    assert ran.status == 1
    assert "skipped: " in ran.err
    assert "nothing was measured" in ran.err


def test_a_figure_is_drawn(tiny_model: Path, tmp_path: Path) -> None:
    figure = tmp_path / "a.svg"
    ran = run_sqbert(
        "bench", "--models", tiny_model, "--engines", "sqbert,sqbert-plain", "--dtypes", "float32",
        "--lengths", "8,16", "--batch-sizes", "1,2", "--runs", "2", "--plot", figure,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    drawn = figure.read_text()
    assert "<svg" in drawn
    assert "mathdefault" not in drawn  # numbers, not what mathematics is written in
    assert "<!-- Latency by batch size (length 8, threads " in drawn


def test_a_score_that_was_not_measured_is_drawn_as_quoted(tmp_path: Path) -> None:
    models = {name: {"score": {"value": 92.7, "of": "%", "is_quoted": name == "a"}} for name in ("a", "b")}
    plot(replace(report(measurement(1.0, model="a"), measurement(2.0, model="b")), models=models), tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert "<!-- a (quoted), sqbert -->" in drawn
    assert "<!-- b, sqbert -->" in drawn


@pytest.mark.slow
def test_what_a_fresh_process_pays_is_its_own(tiny_model: Path) -> None:
    much = bytearray(600_000_000)  # of the parent, which is not to be counted
    (start,) = [one for one in cold_starts([case(model=str(tiny_model))], runs=1) if isinstance(one, Start)]
    assert start.import_s[0] + start.load_s[0] + start.first_s[0] < start.wall_s[0]
    assert 50e6 < start.peak_bytes[0] < len(much)


@pytest.mark.slow
def test_whole_commands_beside_the_pipeline(many_heads: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": f"the film was good {'and fun ' * n}"}) + "\n" for n in range(2)))
    ran = run_sqbert("bench", "--throughput", file, "--task", "ner", "--models", many_heads,
                     "--dtypes", "float32", "--runs", "1")  # fmt: skip
    assert ran.status == 0, ran.err
    assert "sqbert ner, float32" in ran.out
    assert re.search(r"pipeline, float32, batches of [18] .* 1.00", ran.out)
