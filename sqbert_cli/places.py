"""Where models are: with the package, in the cache as they were pulled from a hub, in folders. Needs no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

import platformdirs

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import ABANDONED_SECONDS, UNFINISHED, sweep

DEFAULT_MODEL = "sqbert-small"
HUB_NAME = re.compile(r"(?P<repo_id>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """`org/name`, or `org/name@revision`: a branch, a tag or a commit."""

    repo_id: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id

    @property
    def folder(self) -> Path:
        """What there is of the repository in our cache: a folder for each commit, a file for each revision."""
        return cache_folder() / "models" / self.repo_id.replace("/", "--")

    @property
    def last_seen(self) -> Path:
        """The file that keeps the commit of the revision."""
        return self.folder / f"{quote(self.revision or 'main', safe='')}.commit"


@dataclass(frozen=True)
class Pulled:
    """A model in our cache."""

    repo_id: str
    commit: str
    revisions: tuple[str, ...]
    """Branches and tags that named the commit when they were last asked for."""
    folder: Path

    @property
    def name(self) -> str:
        """By which it is loaded."""
        return self.repo_id if "main" in self.revisions else f"{self.repo_id}@{(*self.revisions, self.commit)[0]}"

    def is_named(self, name: HubName) -> bool:
        if name.repo_id != self.repo_id:
            return False
        return name.revision is None or name.revision in self.revisions or name.revision == self.commit


def shipped_models() -> dict[str, Path]:
    """Folders of the models in the package (in a checkout: beside it) by name."""
    package = Path(__file__).parent
    root = package / "weights" if (package / "weights").is_dir() else package.parent / "weights"
    return {config.parent.name: config.parent for config in sorted(root.glob("*/config.json"))}


def cache_folder() -> Path:
    """What can be fetched or computed again."""
    try:
        return Path(os.environ.get("SQBERT_CACHE") or platformdirs.user_cache_dir("sqbert"))
    except RuntimeError as error:  # neither HOME nor a user whom the system knows, as in some containers
        raise SqbertError(f"there is no place for a cache: {error}", hint="name one with `SQBERT_CACHE`") from error


def hub_name(name: str) -> HubName | None:
    """Return the name of a repository, where it can be one."""
    match = HUB_NAME.fullmatch(name)
    if match is None or ".." in name or "--" in match["repo_id"]:  # `--` is the slash in the cache's names
        return None
    return HubName(match["repo_id"], match["revision"])


def pulled_models() -> Iterator[Pulled]:
    """Yield what is in our cache, by name and commit."""
    for root in sorted((cache_folder() / "models").glob("*--*")):
        refs = {unquote(file.stem): _text(file) for file in sorted(root.glob("*.commit"))}
        for folder in sorted(root.iterdir()):
            if COMMIT.fullmatch(folder.name):
                revisions = tuple(name for name, commit in refs.items() if commit == folder.name)
                yield Pulled(root.name.replace("--", "/", 1), folder.name, revisions, folder)


def choose_pulled(names: list[str]) -> list[Pulled]:
    """Return what is meant by names of the hub. Raises `SqbertError` where one means nothing that was pulled."""
    pulled = list(pulled_models())
    chosen: list[Pulled] = []
    for name in names:
        parsed = hub_name(name)
        found = [one for one in pulled if parsed and one.is_named(parsed)]
        if not found:
            raise _not_pulled(name, pulled)
        chosen += [one for one in found if one not in chosen]
    return chosen


def sweep_pulled() -> None:
    """Remove what commands that were killed long ago left in our cache."""
    for root in (cache_folder() / "models").glob("*--*"):
        with suppress(OSError):  # another user's, or another process was faster
            sweep(root, ABANDONED_SECONDS)
            _drop_empty(root)


def remove_pulled(one: Pulled) -> int:
    """Remove a model from our cache, whole; links are not followed. Returns the bytes of its files."""
    freed = bytes_below(one.folder)
    root = one.folder.parent
    for file in root.glob("*.commit"):
        if unquote(file.stem) in one.revisions:
            file.unlink(missing_ok=True)
    with TemporaryDirectory(dir=root, prefix=f".{one.commit}.", suffix=UNFINISHED) as temporary:  # whole, or gone
        one.folder.rename(Path(temporary) / one.commit)
    sweep(root, name=f"{one.commit}.")
    _drop_empty(root)
    return freed


def _drop_empty(root: Path) -> None:
    if not any(root.iterdir()):
        root.rmdir()


def bytes_below(folder: Path) -> int:
    """Bytes of the files of a folder, without what lies behind links."""
    if folder.is_symlink():
        return 0
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def _text(file: Path) -> str:
    with file.open(encoding="ascii", errors="replace") as opened:
        return opened.read(100).strip()


def _not_pulled(name: str, pulled: list[Pulled]) -> SqbertError:
    there = ", ".join(f"`{one.name}`" for one in pulled) or "nothing"
    if name in shipped_models():
        return SqbertError(f"`{name}` is part of sqbert and is not removed", hint=f"pulled, and removable: {there}")
    if Path(name).exists():
        return SqbertError(
            f"`{name}` is a folder of yours, and is not removed", hint=f"remove it yourself; pulled: {there}"
        )
    return SqbertError(f"no model `{name}` was pulled", hint=f"pulled, and removable: {there}")
