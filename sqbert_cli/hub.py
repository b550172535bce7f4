"""Model repositories of the Hugging Face hub, as folders of the hub's own cache.

`huggingface_hub` lists, resumes, caches and checks sizes; the checksum of the weights is checked here.
It is imported where it is used: most commands never need it.
"""

from __future__ import annotations

import errno
import hashlib
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqbert_cli.errors import SqbertError

SMALL_FILES = ("config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json", "README.md")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that a repository has


def download(repo_id: str, *, revision: str | None = None, offline: bool = False) -> Path:
    """Return the local folder of a model repository; its name is the commit. Raises `SqbertError`."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # documented there

    if not sys.stderr.isatty():
        disable_progress_bars()
    with _explained(repo_id, revision):
        if offline or is_offline():
            return _cached(repo_id, revision)
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().model_info(repo_id, revision=revision, files_metadata=True, timeout=timeout)
        files = {file.rfilename: file for file in info.siblings or ()}
        weights = _weights(repo_id, files)
        folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=[*SMALL_FILES, weights]))
        if lfs := files[weights].lfs:
            _check(folder / weights, lfs.sha256)
        return folder


def find_commit(repo_id: str, *, revision: str | None = None, offline: bool = False) -> str:
    """Return the commit that a branch or tag names; offline, as last downloaded. Raises `SqbertError`."""
    from huggingface_hub import HfApi, constants

    with _explained(repo_id, revision):
        if revision and re.fullmatch("[0-9a-f]{40}", revision):
            return revision
        if offline or is_offline():
            return _cached(repo_id, revision).name
        return str(HfApi().model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT).sha)


def is_offline() -> bool:
    """Whether the environment forbids the network (`HF_HUB_OFFLINE`)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _cached(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub import try_to_load_from_cache

    for weights in WEIGHTS:
        file = try_to_load_from_cache(repo_id, weights, revision=revision)
        if isinstance(file, str):
            return Path(file).parent
    raise SqbertError(
        f"{_named(repo_id, revision)} is not downloaded, and the network is not to be used",
        hint="run once without `--offline` and `HF_HUB_OFFLINE`",
    )


def _weights(repo_id: str, names: Collection[str]) -> str:
    for weights in WEIGHTS:
        if weights in names:
            return weights
    if any(f"{weights}.index.json" in names for weights in WEIGHTS):
        raise SqbertError(f"`{repo_id}` has its weights in several files, which is not supported")
    raise SqbertError(f"`{repo_id}` has no weights", hint="expected `model.safetensors` or `pytorch_model.bin`")


def _check(file: Path, sha256: str) -> None:
    """Compare with the listing; a damaged file is removed, so that the next download fetches it again."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        file.resolve().unlink(missing_ok=True)  # the blob in the cache, to which `file` is a link
        file.unlink(missing_ok=True)
        raise SqbertError(
            f"`{file.name}` arrived damaged: its SHA-256 is {digest.hexdigest()}, the hub says {sha256}",
            hint="it was removed; try again, and if this repeats, distrust the mirror or proxy",
        )


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what `huggingface_hub` raises into `SqbertError`."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client it is built on

    try:
        yield
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _explanation(error, _named(repo_id, revision)) from error


def _explanation(error: Exception, model: str) -> SqbertError:
    from huggingface_hub import constants, errors

    site, reason = constants.ENDPOINT, (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return SqbertError(
            f"{model} does not fit on the disk of `{constants.HF_HUB_CACHE}`",
            hint="free some space, or name another folder with `HF_HOME`",
        )
    answers: dict[type[Exception], tuple[str, str]] = {
        errors.HFValidationError: ("is no name of a repository", "expected `org/name`"),
        errors.GatedRepoError: (
            f"is gated at {site}",
            "accept its terms on its page, then run `hf auth login` or set `HF_TOKEN`",
        ),
        errors.RepositoryNotFoundError: (
            f"is not found at {site}",
            "check the spelling; for a private one run `hf auth login` or set `HF_TOKEN`",
        ),
        errors.RevisionNotFoundError: (f"has no such revision at {site}", "leave out `@...` for the newest"),
        Exception: (
            f"cannot be downloaded from {site}: {reason}",
            "try again; check the network and `HF_ENDPOINT`; what is downloaded works with `--offline`",
        ),
    }
    problem, hint = next(answer for kind, answer in answers.items() if isinstance(error, kind))
    return SqbertError(f"{model} {problem}", hint)


def _named(repo_id: str, revision: str | None) -> str:
    return f"`{repo_id}@{revision}`" if revision else f"`{repo_id}`"
