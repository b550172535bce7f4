"""Commands in processes of their own that need not import torch anew: each is forked from one that has.

`python -m tests.ready serve SOCKET` imports and waits; `python tests/ready.py SOCKET ARGUMENTS...` is as
`python -m sqbert_cli ARGUMENTS...` would be (`-c CODE` as `python -c CODE`), in its own folder and environment, on its
own streams, to its exit status. Signals are passed on; whoever is killed takes the command along.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from types import ModuleType

MOST = 1 << 16
"""Bytes that are read at once."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY = (
    "typer", "rich.console", "rich.table", "rich.progress", "torch._dynamo", "tokenizers", "safetensors.torch",
    "scipy.stats", "sklearn.metrics", "seqeval.metrics", "sqbert_cli.api", "sqbert_cli.convert", "sqbert_cli.export",
    "sqbert_cli.job", "sqbert_cli.training.finetune", "sqbert_cli.training.pretrain", "sqbert_cli.bench.measure",
)  # fmt: skip
"""What is imported once; nothing that reads its environment while it is."""


def ask(path: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        wanted = {
            "arguments": [_told(os.fsencode(one)) for one in arguments],
            "folder": _told(os.getcwdb()),
            "environment": {_told(name): _told(value) for name, value in os.environb.items()},
        }
        socket.send_fds(line, [b" "], [0, 1, 2])
        line.sendall(json.dumps(wanted).encode() + b"\n")
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: line.send(bytes([number])))
        return int(line.recv(MOST))


def _told(name: bytes) -> str:
    """Bytes of no encoding, as JSON has them."""
    return name.decode("latin-1")


def serve(path: str) -> list[str]:
    """Return the arguments of a command, in the process that is to run it; end when standard input does."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
        while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
            line, _ = door.accept()
            with line:
                if os.fork() == 0:
                    door.close()
                    return keep(line)
    sys.exit()


def keep(line: socket.socket) -> list[str]:
    """Begin one command; pass signals on to it, wait for its end, and tell its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(line, 1, 3)
    request = b""
    while b"\n" not in request:
        if not (part := line.recv(MOST)):
            os._exit(0)
        request += part
    request, _, signals = request.partition(b"\n")
    wanted = json.loads(request)
    if (child := os.fork()) == 0:
        line.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(wanted["folder"].encode("latin-1"))
        os.environ.clear()
        told = {name.encode("latin-1"): value.encode("latin-1") for name, value in wanted["environment"].items()}
        os.environb.update(told)
        return [os.fsdecode(one.encode("latin-1")) for one in wanted["arguments"]]
    for stream in streams:
        os.close(stream)
    _pass_on(line, child, signals)
    _, status = os.waitpid(child, 0)
    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _pass_on(line: socket.socket, child: int, signals: bytes) -> None:
    """Until it has ended."""
    ended = os.pidfd_open(child)
    while True:
        for number in signals:
            os.kill(child, number)
        if ended in select.select([ended, line], [], [])[0]:
            return
        if not (signals := line.recv(MOST)):
            os.kill(child, signal.SIGKILL)
            os._exit(0)  # nobody is there to be told


def run(arguments: list[str]) -> int:
    """Run a command, or code, as Python would; return the exit status."""
    try:
        if arguments[:1] == ["-c"]:
            sys.argv = ["-c", *arguments[2:]]
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
        else:
            sys.argv[1:] = arguments
            runpy.run_module("sqbert_cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def leave(status: int) -> None:
    """End as Python does, without taking down what was imported: a second, in a process that shares its memory."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 120
    os._exit(status)


def main() -> None:
    if sys.argv[1] != "serve":
        status = ask(sys.argv[1], sys.argv[2:])
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        sys.exit(status)

    from importlib import import_module

    for name in READY:
        import_module(name)
    gc.freeze()
    arguments = serve(sys.argv[2])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    encoding, errors = sys.stdin.encoding, sys.stdin.errors
    sys.stdin = open(0, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    leave(run(arguments))


if __name__ == "__main__":
    main()
