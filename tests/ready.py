"""Commands in processes of their own that need not import torch anew: each is forked from one that has.

`python -m tests.ready serve SOCKET` imports and waits; `python tests/ready.py SOCKET ARGUMENTS...` is as
`python -m sqbert_cli ARGUMENTS...` would be, in its own folder and environment, on its own streams, to its exit status.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys

MOST = 1 << 16
"""Bytes that are read at once."""


def ask(path: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        wanted = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(line, [b" "], [0, 1, 2])
        line.sendall(json.dumps(wanted).encode())
        line.shutdown(socket.SHUT_WR)
        return int(line.recv(MOST))


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
    """Wait for the end of one command, and tell its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(line, 1, 3)
    wanted = json.loads(b"".join(iter(lambda: line.recv(MOST), b"")))
    if (child := os.fork()) == 0:
        line.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(wanted["folder"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        return list(wanted["arguments"])
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def main() -> None:
    if sys.argv[1] != "serve":
        status = ask(sys.argv[1], sys.argv[2:])
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        sys.exit(status)

    import runpy
    from importlib import import_module

    for name in ("torch", "tokenizers", "safetensors.torch", "scipy.stats", "sklearn.metrics", "seqeval.metrics"):
        import_module(name)
    gc.freeze()
    sys.argv[1:] = serve(sys.argv[2])
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    runpy.run_module("sqbert_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
