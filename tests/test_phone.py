"""The phone's benchmark without a phone: what is read, chosen, told and judged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sqbert_cli.bench.report import compare, read_report, write_report
from sqbert_cli.commands.bench import bench
from sqbert_cli.commands.bench_phone import purging
from sqbert_cli.errors import SqbertError
from sqbert_cli.phone.adb import GONE, Seen, choose, complaint, find_adb, parse_devices
from sqbert_cli.phone.cargo import far_from, pack, token_rows, write_rows, write_runner
from sqbert_cli.phone.course import Course
from sqbert_cli.phone.deploy import send
from sqbert_cli.phone.facts import ask_conditions, ask_facts, parse_conditions, parse_facts
from sqbert_cli.phone.links import AdbLink, Link, Ran, SshFiles, SshLink, run, run_whole
from sqbert_cli.phone.problems import PhoneError, Status
from sqbert_cli.phone.result import MARK, drift, parse_result, read_result, throttling
from sqbert_cli.phone.runtimes import native
from sqbert_cli.phone.session import Checks, Found, PhoneReport, PhoneRun, await_conditions, purged
from sqbert_cli.phone.target import Target, enter_termux, public_key
from sqbert_cli.views.phone import show_phone
from tests.conftest import run_sqbert

DEVICES = """List of devices attached
89ABX0ABC              device usb:1-2 product:blueline model:Pixel_3 device:blueline transport_id:1
emulator-5556          device product:sdk_gphone64 model:sdk device:emu64x transport_id:2
192.168.1.7:5555       offline transport_id:4
0A1B2C                 unauthorized usb:1-3 transport_id:5
FA7                    no permissions (user in plugdev group; are your udev rules wrong?); see [http://x] usb:1-1

"""
PIXEL, EMULATOR, OFFLINE, UNKNOWN, CLOSED = parse_devices(DEVICES.splitlines())


def test_devices_are_read_as_adb_lists_them() -> None:
    assert Seen("89ABX0ABC", "device", "blueline", "Pixel 3") == PIXEL
    assert (EMULATOR.product, OFFLINE.state, UNKNOWN.state) == ("emu64x", "offline", "unauthorized")
    assert CLOSED.state.startswith("no permissions (user in plugdev")
    assert list(parse_devices(["* daemon started successfully", "List of devices attached", ""])) == []


@pytest.mark.parametrize(
    ("phones", "serial", "status"),
    [
        ([], None, Status.NO_PHONE),
        ([PIXEL], "other", Status.NO_PHONE),
        ([UNKNOWN], None, Status.UNAUTHORIZED),
        ([OFFLINE], None, Status.OFFLINE),
        ([CLOSED], None, Status.NO_PERMISSION),
        ([EMULATOR, UNKNOWN], None, Status.SEVERAL),
        ([PIXEL, PIXEL], None, Status.SEVERAL),
        ([Seen("1", "recovery")], None, Status.OFFLINE),
    ],
)
def test_every_state_has_its_own_error(phones: list[Seen], serial: str | None, status: Status) -> None:
    with pytest.raises(PhoneError) as caught:
        choose(phones, serial)
    assert caught.value.status == status
    assert caught.value.hint


def test_the_phone_that_is_meant_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose([PIXEL, EMULATOR, UNKNOWN]) is PIXEL
    assert choose([PIXEL, EMULATOR], "emulator-5556") is EMULATOR
    monkeypatch.setenv("ANDROID_SERIAL", "emulator-5556")
    assert choose([PIXEL, EMULATOR]) is EMULATOR
    monkeypatch.setenv("ANDROID_SERIAL", "")  # says nothing
    assert choose([PIXEL]) is PIXEL


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("error: device '89AB' not found", Status.LOST),
        ("adb: device offline", Status.OFFLINE),
        ("error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", Status.UNAUTHORIZED),
        ("error: more than one device/emulator", Status.SEVERAL),
        ("error: closed", Status.LOST),
    ],
)
def test_adbs_complaints_are_told_from_the_phones(said: str, status: Status) -> None:
    problem = complaint(said)
    assert problem is not None
    assert problem.status == status
    assert complaint("/bin/sh: nothing: not found") is None


def test_adb_is_found_where_it_is_named_or_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("SQBERT_ADB", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PhoneError, match="there is no adb") as caught:
        find_adb()
    assert caught.value.status == Status.NO_ADB
    program = tmp_path / "sdk" / "platform-tools" / "adb"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert find_adb() == str(program)
    monkeypatch.setenv("SQBERT_ADB", str(tmp_path / "gone"))
    with pytest.raises(PhoneError, match="gone"):
        find_adb()


def test_without_adb_the_command_says_so_at_once_and_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', sorted({'torch', 'numpy'} & set(sys.modules))))\n"
        "sys.argv = ['sqbert', 'bench', '--device', 'pixel3']\nfrom sqbert_cli.cli import main; main()"
    )
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "COLUMNS": "200"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ended.returncode == Status.NO_ADB
    assert "there is no adb" in ended.stderr
    assert "apt install adb" in ended.stderr
    assert ended.stdout == "LOADED []\n"


@pytest.mark.parametrize(
    "words",
    [
        "--device pixel4", "--device ssh:-oProxyCommand=x", "--device ssh:", "--check", "--serial x",
        "--device pixel3 --engines sqbert", "--device pixel3 --check --json a.json",
        "--device pixel3 --check --plot a.svg", "--device pixel3 --lengths 8,16", "--device pixel3 --runtime fast",
        "--device pixel3 --check --runs 7", "--device pixel3 --check --markdown", "--device ssh:pi --serial x",
        "--device ssh:pi --any-device", "--device ssh:pi --setup", "--device pixel3 --setup --purge",
        "--device pixel3 --setup --json a.json", "--device pixel3 --force --cooldown 600",
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_done(words: str) -> None:
    ran = run_sqbert("bench", *words.split())
    assert ran.status == 2, ran.err


CONDITIONS = """battery|AC powered: false
battery|USB powered: true
battery|level: 87
battery|scale: 100
battery|temperature: 271
battery|technology: Li-ion
thermal|0
wakefulness|Awake
low_power|0
cpu|0|1766400|300000|schedutil
cpu|1|1766400|300000|schedutil
cpu|10|2803200|2803200|schedutil
cpu|4|2803200|825600|schedutil
zone|cpu0-silver-usr|31000
zone|battery|27
zone|refused|
"""


def test_conditions_are_read() -> None:
    found = parse_conditions(CONDITIONS.splitlines())
    assert (found.battery_percent, found.battery_celsius, found.is_powered) == (87, 27.1, True)
    assert (found.thermal_status, found.low_power, found.wakefulness) == (0, False, "Awake")
    assert found.big_cores == (4, 10)
    assert found.zones_celsius == {"cpu0-silver-usr": 31.0, "battery": 27.0}
    assert list(found.problems()) == []


def test_threads_have_a_core_each_where_the_big_ones_are_few() -> None:
    clocks = enumerate((1_800, 1_800, 1_800, 1_800, 2_400, 2_400, 2_400, 2_800))
    found = parse_conditions([f"cpu|{index}|{mhz}000|300000|schedutil" for index, mhz in clocks])
    assert [found.cores_for(threads) for threads in (1, 2, 4)] == [(7,), (7, 4), (7, 4, 5, 6)]
    assert parse_conditions(CONDITIONS.splitlines()).cores_for(1) == (4, 10)


def test_a_machine_that_says_nothing_has_no_problems() -> None:
    found = parse_conditions(["low_power|", "cpu|0|||", "zone||"])
    assert (found.battery_percent, found.thermal_status, found.big_cores) == (None, None, ())
    assert list(found.problems()) == []


@pytest.mark.parametrize(
    ("old", "new", "said", "cools"),
    [
        ("temperature: 271", "temperature: 412", "41.2 °C", True),
        ("thermal|0", "thermal|2", "thermal status 2", True),
        ("level: 87", "level: 12", "at 12 %", False),
        ("low_power|0", "low_power|1", "battery saver", False),
    ],
)
def test_a_phone_in_bad_condition(old: str, new: str, said: str, cools: bool) -> None:
    found = parse_conditions(CONDITIONS.replace(old, new).splitlines())
    assert [said in problem for problem in found.problems()] == [True]
    assert bool(list(found.too_warm())) == cools


@given(st.lists(st.text(alphabet="|:=0123456789batterycpuzonehmal-. ", max_size=40)))
def test_whatever_a_phone_says_is_read(lines: list[str]) -> None:
    parse_conditions(lines)
    parse_facts(lines)


def test_facts_of_a_phone_and_of_a_board() -> None:
    phone = parse_facts(
        ["ro.product.manufacturer=Google", "ro.product.model=Pixel 3", "ro.build.version.release=12", "machine=aarch64"]
    )
    assert (phone.name, phone.system, phone.machine) == ("Google Pixel 3", "Android 12", "aarch64")
    assert parse_facts(["board=Raspberry Pi 4\0", "machine=aarch64"]).name == "Raspberry Pi 4"


BODY: dict[str, Any] = {
    "runner": "native", "engine": "C", "path": "products", "machine": "aarch64", "threads": 4, "affinity": [4, 5],
    "models": [{"name": "m", "load_ms": 1, "first_ms": 2, "logits": [[0.5, 1], [1, 2]], "times_ms": [3, 3, 3, 3.0]}],
    "watched": [[2_800_000, None]] * 4, "peak_kb": 1,
}  # fmt: skip


def came_back(body: str, digest: str | None = None, size: int | None = None, status: int = 0, err: str = "") -> Ran:
    digest = digest or hashlib.sha256(body.encode()).hexdigest()
    return Ran(status, f"{body}{MARK} {digest} - {len(body) if size is None else size}\n", err)


def test_a_whole_result_is_read_whatever_the_status() -> None:
    body = json.dumps(BODY) + "\n"
    for status in (0, 1, 255):
        assert read_result(came_back(body, status=status), "termux", "").models[0].times_ms == (3, 3, 3, 3)


@pytest.mark.parametrize(
    ("ran", "status"),
    [
        (Ran(0, json.dumps(BODY) + "\n", ""), Status.LOST),
        (Ran(0, "", ""), Status.LOST),
        (came_back(json.dumps(BODY) + "\n", size=10), Status.BAD_RESULT),
        (came_back(json.dumps(BODY) + "\n", digest="0" * 64), Status.BAD_RESULT),
        (came_back("[]\n"), Status.BAD_RESULT),
        (came_back("[" * 100_000 + "\n"), Status.BAD_RESULT),
        (came_back(json.dumps(BODY | {"watched": 3}) + "\n"), Status.BAD_RESULT),
        (came_back(json.dumps(BODY | {"threads": 1e999}) + "\n"), Status.BAD_RESULT),
        (Ran(137, "", "Killed", 1800.1), Status.TOO_LONG),
        (Ran(137, "", "Killed", 12.0), Status.RUNNER_FAILED),
        (Ran(1, "", "sqbert-phone: torch cannot be imported: No module named 'torch'"), Status.NO_TORCH),
        (Ran(126, "", "sh: ./sqbert-phone: not executable: 64-bit ELF file"), Status.WRONG_ARCHITECTURE),
        (Ran(1, "", "sh: result.json: No space left on device"), Status.NO_SPACE),
        (Ran(2, "", "sqbert-phone: bad weights"), Status.RUNNER_FAILED),
    ],
)
def test_a_result_that_is_not_whole_is_an_error_of_its_own(ran: Ran, status: Status) -> None:
    with pytest.raises(PhoneError) as caught:
        read_result(ran, "termux", GONE)
    assert caught.value.status == status


@pytest.mark.parametrize("time", [0, -1, float("nan"), float("inf")])
def test_times_that_are_none_are_refused(time: float) -> None:
    model = BODY["models"][0] | {"times_ms": [time]}
    with pytest.raises(ValueError, match="times that are none"):
        parse_result(BODY | {"models": [model]})


def test_steady_and_throttled() -> None:
    steady = parse_result(BODY)
    assert throttling(steady, 2_800_000, []) == []
    assert throttling(steady, 2_800_000, ["it is warm"]) == ["it is warm"]
    assert "2.80 of 3.20 GHz" in throttling(steady, 3_200_000, [])[0]
    slower = BODY["models"][0] | {"times_ms": [1.0] * 5 + [1.1] * 5 + [1.2] * 5}
    assert "1.20 times as long" in throttling(parse_result(BODY | {"models": [slower]}), None, [])[0]
    chance = BODY["models"][0] | {"times_ms": [1.0, 1.1, 1.2]}
    assert throttling(parse_result(BODY | {"models": [chance]}), None, []) == []
    assert drift([1.0]) == 1


def test_another_host_key_says_how_to_forget_it(tmp_path: Path) -> None:
    link = SshLink("127.0.0.1", SshFiles(tmp_path).options("89AB", 8022))
    problem = link.problem(
        Ran(255, "", "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.")
    )
    assert problem is not None
    assert problem.status == Status.HOST_KEY
    assert f"ssh-keygen -f {tmp_path}/known_hosts -R sqbert-89AB" in str(problem.hint)
    unknown = SshLink("pi@board").problem(Ran(255, "", "Host key verification failed.\r\n"))
    assert unknown is not None
    assert unknown.status == Status.LOST  # never seen is not changed
    assert link.problem(Ran(1, "", "a program's own failure")) is None


def test_a_phone_that_vanishes_is_told_whatever_the_status(tmp_path: Path) -> None:
    def adb(script: str) -> AdbLink:
        return AdbLink(str(program(tmp_path / "adb", script)), "89AB")

    assert run_whole(adb('eval "$4"'), "echo all\n").out == "all\n"
    assert run_whole(adb('eval "$4"'), "echo why >&2; exit 3").status == 3
    for script in ("exit 0", "echo half", "exit 1"):
        for ask in (ask_facts, ask_conditions, lambda link: send(link, Path(__file__), "x", "0")):
            with pytest.raises(PhoneError, match="no answer any more") as caught:
                ask(adb(script))
            assert caught.value.status == Status.LOST


REAL_SHELL = """pm() { echo package:com.termux; }; eval "$4\""""
"""Of a phone that has Termux, and asks it nothing."""


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_termux_is_lost_only_after_it_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = '*"pm path"*) echo package;; *run-as*) exit 1;; *"forward tcp:0"*) echo 4567;;'
    adb = program(tmp_path / "adb", f'case "$*" in {says} esac')
    program(tmp_path / "ssh", f'case "$*" in *true*) [ -e {tmp_path}/up ] && exit 0; esac; exit 255')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    target = Target(AdbLink(str(adb), "89AB"), parse_facts([]), str(adb), "89AB")
    with ExitStack() as stack:
        with pytest.raises(PhoneError, match="ssh to") as caught:
            enter_termux(target, stack)
        assert caught.value.status == Status.NO_TERMUX
        (tmp_path / "up").touch()
        link = enter_termux(target, stack)
        with pytest.raises(PhoneError, match="ssh to") as caught:
            run(link, "python")
    assert caught.value.status == Status.LOST
    assert "Keep it in front" in str(caught.value.hint)


def test_a_plot_without_matplotlib_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sqbert_cli.commands.options.find_spec", lambda _: None)
    with pytest.raises(SqbertError, match="needs matplotlib"):
        bench(device="pixel3", plot=tmp_path / "a.svg")


def test_without_ssh_on_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PhoneError, match="there is no `ssh` on this computer"):
        run(SshLink("pi@board"), "true")
    with pytest.raises(PhoneError, match="there is no `ssh-keygen`"):
        public_key(SshFiles(tmp_path / "new"))


@pytest.mark.parametrize(
    ("link", "said"),
    [(AdbLink("adb", "89AB"), "--runtime termux"), (SshLink("host"), "`sqbert bench` on that machine")],
)
def test_the_remedy_for_another_processor_is_possible(link: Link, said: str) -> None:
    with pytest.raises(PhoneError) as caught:
        native(link, "x86_64")
    assert said in str(caught.value.hint)


def test_a_pixel_3_has_its_processor() -> None:
    def target(device: str, machine: str) -> Target:
        return Target(AdbLink("adb", "89AB"), parse_facts([f"ro.product.device={device}", f"machine={machine}"]))

    assert target("blueline", "aarch64").is_pixel_3
    assert target("crosshatch", "armv8l").is_pixel_3
    assert not target("blueline", "x86_64").is_pixel_3
    assert not target("walleye", "aarch64").is_pixel_3


def steps(problem: PhoneError | None) -> Iterator[Found]:
    if problem:
        raise problem
    yield Found("step", "well")


def test_a_check_tells_all_problems_and_ends_with_the_first() -> None:
    checks = Checks(go_on=True)
    problems = [None, PhoneError(Status.NO_SPACE, "full", "make room"), None, PhoneError(Status.NO_TORCH, "none")]
    found = [one for problem in problems for one in checks.tried("what", steps(problem))]
    assert [one.is_fine for one in found] == [True, False, True, False]
    assert found[1] == Found("what", "full", False, "make room")
    with pytest.raises(PhoneError) as caught:
        checks.end()
    assert caught.value.status == Status.NO_SPACE
    with pytest.raises(PhoneError, match="gone"):  # nothing more can be asked
        list(checks.tried("what", steps(PhoneError(Status.LOST, "gone"))))
    with pytest.raises(PhoneError, match="full"):
        list(Checks(go_on=False).tried("what", steps(problems[1])))


@pytest.mark.parametrize(("script", "status"), [("exit 1", Status.LOST), ("echo no >&2; exit 1", Status.RUNNER_FAILED)])
def test_what_a_purge_leaves_behind_is_told(script: str, status: Status, tmp_path: Path) -> None:
    target = Target(AdbLink(str(program(tmp_path / "adb", script)), "89AB"), parse_facts([]))
    with pytest.raises(PhoneError, match="weights may still be there") as caught:
        purged(target, termux_used=False)
    assert caught.value.status == status


def test_a_purge_that_fails_is_how_a_good_run_ends_and_no_other(tmp_path: Path, capsys: Any) -> None:
    target = Target(AdbLink(str(program(tmp_path / "adb", "echo no >&2; exit 1")), "89AB"), parse_facts([]))
    course, report = Course("native", (1,), 16, 10, 50, 0.0, force=True, purge=True), PhoneReport({}, {}, "")
    done = []
    with pytest.raises(PhoneError, match="weights may still be there"), purging(target, course, report):
        done.append("the figure is drawn")
    assert done
    with pytest.raises(KeyboardInterrupt), purging(target, course, report):
        raise KeyboardInterrupt
    assert "weights may still be there" in capsys.readouterr().err


def test_a_termux_that_cannot_be_entered_is_no_failure_where_it_was_not_asked_for(tmp_path: Path) -> None:
    adb = program(tmp_path / "adb", f'case "$*" in *run-as*) exit 1;; *forward*) echo 9;; *) {REAL_SHELL};; esac')
    target = Target(AdbLink(str(adb), "89AB", folder=str(tmp_path / "ours")), parse_facts([]), str(adb), "89AB")
    assert "Termux cannot be looked into" in purged(target, termux_used=False).detail
    with pytest.raises(PhoneError, match="weights may still be there"):
        purged(target, termux_used=True)


def test_a_warm_phone_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [parse_conditions(CONDITIONS.replace("temperature: 271", f"temperature: {n}").splitlines())
            for n in (412, 405, 271)]  # fmt: skip
    monkeypatch.setattr("sqbert_cli.phone.session.ask_conditions", lambda _: said.pop(0))
    monkeypatch.setattr("sqbert_cli.phone.session.POLL_SECONDS", 0.0)
    course = Course("auto", (1,), 16, 10, 50, 60.0, force=False, purge=False)
    report = PhoneReport(machine={}, models={}, baseline="")
    *waits, found = await_conditions(Target(AdbLink("adb", "89AB"), parse_facts([])), course, report)
    assert [("41.2" in str(waits[0]), "40.5" in str(waits[1])), len(waits)] == [(True, True), 2]
    assert isinstance(found, Found)
    assert "27.1 °C" in found.detail


def test_what_was_forced_is_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(AdbLink("adb", "89AB"), parse_facts([]))
    course = Course("auto", (1,), 16, 10, 50, 0.0, force=True, purge=False)
    report = PhoneReport(machine={}, models={}, baseline="")
    for old, new in (("temperature: 271", "temperature: 412"), ("level: 87", "level: 12"), ("", "")):
        said = parse_conditions(CONDITIONS.replace(old, new).splitlines())
        monkeypatch.setattr("sqbert_cli.phone.session.ask_conditions", lambda _, said=said: said)
        list(await_conditions(target, course, report))
    assert len(report.forced) == 2
    assert "41.2 °C" in report.forced[0]
    assert "at 12 %" in report.forced[1]


@pytest.mark.parametrize("markdown", [True, False])
def test_a_table_comes_with_what_it_was_measured_on(markdown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Console(file=StringIO(), width=120)
    for name in ("phone", "bench"):
        monkeypatch.setattr(f"sqbert_cli.views.{name}.data", data)
    report = PhoneReport(
        machine={"processor": "Google Pixel 3 (sdm845, x86_64)", "system": "Android 12", "sqbert": "1"}, models={},
        baseline="", phone=parse_facts(["ro.product.device=blueline"]), forced=["its battery is at 12 %"],
        runs=[
            PhoneRun(parse_result(BODY), 4, ["it is warm"], False, {}),
            PhoneRun(parse_result(BODY), 500, [], True, {}),
        ],
    )  # fmt: skip
    show_phone(report, markdown=markdown)
    shown = data.file.getvalue()  # type: ignore[attr-defined]
    for said in (
        "(not a Pixel 3)",
        "throttled: it is warm",
        "on aarch64",
        "on cores 4, 5, not pinned",
        "products",
        "(--force)",
        "4 of 500 runs: 300 s were over; too few runs to tell whether it was steady; on cores 4, 5, fewer than",
    ):
        assert said in shown
    assert ("\n- native, 4 threads" in shown) == markdown


@pytest.mark.parametrize("model_type", ["squeezebert", "bert"])
def test_the_runner_needs_one_file_and_says_what_we_say(model_type: str, make_model: Any, tmp_path: Path) -> None:
    cargo = pack(str(make_model(model_type=model_type, vocab_size=120, initializer_range=0.3)), 12, tmp_path)
    write_rows(tmp_path / "inputs.txt", *token_rows(12))
    write_runner(tmp_path / "runner.pyz")
    options = "--inputs inputs.txt --threads 1 --warmup 1 --runs 3 --cpus 0,99 --watch inputs.txt,gone"
    ran = subprocess.run(
        [sys.executable, "-I", "runner.pyz", *options.split(), cargo.file.name], cwd=tmp_path, capture_output=True
    )
    result = parse_result(json.loads(ran.stdout))
    assert far_from(cargo, result.models[0].logits) < 1e-5
    assert len(result.models[0].times_ms) == len(result.watched) == 3
    assert result.affinity == (0,)
    assert result.watched[0] == (None, None)
    assert result.models[0].name == cargo.file.stem


def test_a_model_folder_may_have_a_name_that_is_no_unicode(make_model: Any, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xff"))
    shutil.copytree(make_model(vocab_size=120), folder)
    assert pack(str(folder), 8, tmp_path).file.is_file()


def test_the_padded_row_tells_whether_padding_is_seen(make_model: Any, tmp_path: Path) -> None:
    cargo = pack(str(make_model(vocab_size=120)), 12, tmp_path)
    full, padded = cargo.expected.tolist()
    assert far_from(cargo, [full, padded]) < 1e-6
    assert far_from(cargo, [full, full]) > 1e-3
    assert far_from(cargo, [full]) == float("inf")
    assert not far_from(cargo, [full, [float("nan")] * 2]) <= 1e-3


def test_the_runner_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_runner(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_weights_are_the_same_bytes_each_time_and_any_reader_reads_them(make_model: Any, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model = str(make_model(vocab_size=120))
    first, second = pack(model, 8, tmp_path), pack(model, 8, tmp_path)
    assert first.sha256 == second.sha256 == hashlib.sha256(first.file.read_bytes()).hexdigest()
    tensors = load_file(first.file)
    assert tensors["transformer.encoder.layers.1.output.conv1d.weight"].shape == (32, 16, 1)
    assert tensors["classifier.bias"].shape == (2,)


def test_a_phones_report_is_compared_beside_bert_base(tmp_path: Path) -> None:
    from sqbert_cli.bench.cases import Case, Measurement, Shape

    def report(*times: float) -> PhoneReport:
        cases = (Case(name, "native", "float32", Shape(1, 128, 4)) for name in ("squeezebert-base", "bert-base"))
        measured = [Measurement(case, (time,) * 8, 0.0, 1.0, "random") for case, time in zip(cases, times, strict=True)]
        return PhoneReport(machine={}, models={}, baseline="", measurements=measured)

    write_report(report(100, 300), tmp_path / "a.json")
    old, new = read_report(tmp_path / "a.json"), report(75, 450)
    assert new.ratio(new.measurements[0]).value == 6  # type: ignore[union-attr]
    first, control = compare(old, new)
    assert first.ratio is not None
    assert first.ratio.value == 2  # the phone ran at two thirds of its speed, and still it was faster
    assert control.ratio is None
