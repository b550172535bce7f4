"""Files to the phone, checked by their SHA-256, and away from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from shlex import quote

from sqbert_cli.phone.links import SHORT, Link, Ran, run, run_whole
from sqbert_cli.phone.problems import PhoneError, Status

SECONDS_PER_MEGABYTE = 1.0
"""A slow cable still has more than a megabyte a second."""
OWNER = "shell"
"""A file in a job's folder: the process that takes the folder away when the run ends."""
SWEEP = (
    f'for j in job-*; do [ -f "$j/{OWNER}" ] && ! kill -0 "$(cat "$j/{OWNER}")" 2>/dev/null && rm -rf "$j"; done; '
    "find . \\( -name 'job-*' -o -name '*.part' \\) -mmin +60 -exec rm -rf {} + 2>/dev/null"
)
"""Dead jobs, and what is older than any run: of a phone that was switched off, say."""


@dataclass(frozen=True)
class Job:
    """A folder of one run on the phone. It holds nothing that is of use later."""

    folder: str
    weights: str
    """Beside it: the weights cache, by SHA-256."""

    @classmethod
    def new(cls, link: Link) -> Job:
        return cls(f"{link.folder}/job-{token_hex(4)}", f"{link.folder}/weights")

    def weights_file(self, digest: str) -> str:
        return f"{self.weights}/{digest}.safetensors"


def make_folder(link: Link, folder: str) -> None:
    checked(link, f"mkdir -p {quote(folder)}", "no folder could be made on the phone")


def sweep(link: Link) -> None:
    """Take away what runs that could not clean up have left."""
    run(link, f"cd {quote(link.folder)} 2>/dev/null && {{ {SWEEP}; }}")


def has(link: Link, path: str, digest: str) -> bool:
    """Whether a file is there, whole."""
    return run(link, f"sha256sum {quote(path)} 2>/dev/null").out.startswith(digest)


def send(link: Link, source: Path, path: str, digest: str) -> None:
    """Copy a file. It appears under its name when it is whole; the phone itself takes away one that is not."""
    part, megabytes = quote(f"{path}.{token_hex(4)}.part"), source.stat().st_size / 1e6
    command = (  # where the computer or adbd goes away, the shell stays to see that the file is not whole
        f"trap '' HUP PIPE; trap 'rm -f {part}' EXIT; cat > {part} || exit 1; "
        f'case "$(sha256sum < {part})" in {digest}*) ;; *) echo it arrived damaged >&2; exit 1;; esac; '
        f"chmod 755 {part} && mv {part} {quote(path)}"
    )
    what = f"`{source.name}` ({megabytes:.0f} MB) could not be sent"
    checked(link, command, what, source=source, timeout=SHORT + megabytes * SECONDS_PER_MEGABYTE)


def remove(link: Link, job: Job) -> None:
    """End what runs in a job's folder, and take the folder away."""
    pid = f"{quote(job.folder)}/pid"
    run(link, f"[ -f {pid} ] && kill -9 $(cat {pid}) 2>/dev/null; rm -rf {quote(job.folder)}")


def purge(link: Link) -> None:
    """Take away the weights, too."""
    checked(link, f"rm -rf {quote(link.folder)}", f"`{link.folder}` could not be taken away")


def checked(link: Link, command: str, what: str, *, source: Path | None = None, timeout: float = SHORT) -> Ran:
    ran = run_whole(link, command, source=source, timeout=timeout)
    if ran.status:
        raise failure(ran, what)
    return ran


def failure(ran: Ran, what: str) -> PhoneError:
    said = _reason(ran.err.splitlines())
    if "No space left" in ran.err or "Disk quota" in ran.err:
        return PhoneError(Status.NO_SPACE, f"{what}: the device's storage is full", "make room, or use `--purge`")
    return PhoneError(Status.RUNNER_FAILED, f"{what}: {said or f'status {ran.status}'}")


def _reason(lines: Iterable[str]) -> str:
    return next((line.strip() for line in reversed(list(lines)) if line.strip()), "")
