"""Model repositories of the Hugging Face hub, as folders of the hub's own cache.

`huggingface_hub` lists, resumes, caches and checks sizes; what arrived is compared with the listing's hashes here.
It is imported where it is used: most commands never need it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import digest_of
from sqbert_cli.folder import WEIGHTS, choose_weights

SMALL_FILES = (
    "config.json", "tokenizer.json", "vocab.txt", "added_tokens.json", "tokenizer_config.json", "training.json",
    "README.md",
)  # fmt: skip
FULL = ("does not fit on the disk of", "free some space, or name another folder with `HF_HOME`")
CLOSED = ("cannot be written to", "name another folder with `HF_HOME`")
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
LOCAL = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: CLOSED, errno.EACCES: CLOSED}
"""What is wrong here, and not with the network."""


def download(repo_id: str, *, revision: str | None = None, offline: bool = False) -> Path:
    """Return the local folder of a model repository; its name is the commit. Raises `SqbertError`."""
    _check_addresses("HF_ENDPOINT")
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # documented there

    if not sys.stderr.isatty():
        disable_progress_bars()
    with _explained(repo_id, revision):
        if offline or is_offline():
            return _cached(repo_id, revision)
        _check_addresses(*PROXIES)
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().model_info(repo_id, revision=revision, files_metadata=True, timeout=timeout)
        files = {file.rfilename: file for file in info.siblings or ()}
        weights = choose_weights(repo_id, files.__contains__)
        folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=[*SMALL_FILES, weights]))
        if folder.name != info.sha:
            raise SqbertError(f"{_named(repo_id, revision)} was changed while it was fetched", hint="try again")
        for name in (*SMALL_FILES, weights):
            if name in files and (folder / name).is_file():
                _check(folder / name, files[name])
        return folder


def find_commit(repo_id: str, *, revision: str | None = None, offline: bool = False) -> str:
    """Return the commit that a branch or tag names; offline, as last downloaded. Raises `SqbertError`."""
    _check_addresses("HF_ENDPOINT")
    from huggingface_hub import HfApi, constants

    with _explained(repo_id, revision):
        if revision and re.fullmatch("[0-9a-f]{40}", revision):
            return revision
        if offline or is_offline():
            return _cached(repo_id, revision).name
        _check_addresses(*PROXIES)
        return str(HfApi().model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT).sha)


def is_offline() -> bool:
    """Whether the environment forbids the network (`HF_HUB_OFFLINE`)."""
    _check_addresses("HF_ENDPOINT")
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _check_addresses(*names: str) -> None:
    """Raise `SqbertError` for what is no address; `huggingface_hub` and its client do so each in its own way."""
    for name in names:
        address = os.environ.get(name) or os.environ.get(name.lower()) or ""
        try:
            _ = urlsplit(address if "://" in address else f"http://{address}").port
        except ValueError as error:  # which may quote a password
            raise SqbertError(f"`{name}` is no address", hint="expected one such as `http://HOST:8080`") from error


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


def _check(file: Path, listed: Any) -> None:
    """Compare with the listing; a damaged file is removed, so that the next download fetches it again."""
    if listed.lfs:
        kind, expected, digest = "SHA-256", listed.lfs.sha256, hashlib.sha256()
    else:  # of git, over a header of its own
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
        kind, expected = "git hash", listed.blob_id
    found = digest_of(file, digest)
    if expected is not None and found != expected:
        file.resolve().unlink(missing_ok=True)  # the blob in the cache, to which `file` is a link
        file.unlink(missing_ok=True)
        raise SqbertError(
            f"`{file.name}` arrived damaged: its {kind} is {found}, the hub says {expected}",
            hint="it was removed; try again, and if this repeats, distrust the mirror or proxy",
        )


def download_folder(repo_id: str) -> Path | None:
    """Where the hub's own cache keeps what was downloaded of a repository, if it does."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"
    return folder if folder.is_dir() else None


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what `huggingface_hub` raises into `SqbertError`."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client it is built on

    try:
        yield
    except (HTTPError, OSError, ValueError, RuntimeError, ImportError) as error:
        raise _explanation(error, _named(repo_id, revision)) from error


def _explanation(error: Exception, model: str) -> SqbertError:
    from huggingface_hub import constants, errors

    site, reason = constants.ENDPOINT, (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and (local := LOCAL.get(error.errno or 0)):
        return SqbertError(f"{model} {local[0]} `{constants.HF_HUB_CACHE}`", hint=local[1])
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
        ImportError: (f"cannot be downloaded: {reason}", "install that, or use a proxy of another kind"),  # for SOCKS
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
