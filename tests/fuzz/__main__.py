"""`python -m tests.fuzz TARGET ...`: try many inputs; or one again, with `--repeat FILE`."""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.engine import Tally, fuzz, fuzz_guided
from tests.fuzz.targets import TARGETS, make_target

MORE_MEMORY = 1 << 30
"""Beyond what is mapped when all is loaded; a case that wants more gets `MemoryError`, a finding."""


def main() -> int:
    arguments = _arguments()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a file for each case: not on a disk
    with TemporaryDirectory(dir=memory) as scratch, _instrumented(arguments.guided):
        target = make_target(arguments.target, Path(scratch))
        if arguments.repeat:
            print(target.attempt(arguments.repeat.read_bytes()))
            return 0
        _bound_memory()
        options = {"cases": arguments.cases, "seconds": arguments.seconds, "seed": arguments.seed}
        if arguments.guided:

            def end(tally: Tally) -> None:
                _tell(arguments, tally)
                shutil.rmtree(scratch)  # libFuzzer leaves without a farewell

            fuzz_guided(target, arguments.folder, end=end, **options)
        tally = fuzz(target, arguments.folder, **options)
        _tell(arguments, tally)
        return bool(tally.findings)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("findings"), help="where failing inputs are kept")
    parser.add_argument("--guided", action="store_true", help="with atheris: guided by the lines that are reached")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="try this input alone, and show its traceback")
    return parser.parse_args()


def _instrumented(guided: bool):  # type: ignore[no-untyped-def]
    """atheris counts lines only of modules imported within this block."""
    if not guided:
        return nullcontext()
    import atheris

    return atheris.instrument_imports(include=["sqbert_cli", "json", "csv"])


def _bound_memory() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MORE_MEMORY,) * 2)


def _tell(arguments: argparse.Namespace, tally: Tally) -> None:
    how = "guided" if arguments.guided else "mutated"
    print(f"{arguments.target} ({how}, seed {arguments.seed}): {tally}", flush=True)
    for what, path in tally.findings.items():
        print(f"  {what}: {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
