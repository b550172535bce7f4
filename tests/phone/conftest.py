"""Phones for a session, as new for each test. Tests are skipped where there can be none; with CI_PHONES=1 they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from .machine import why_not
from .namespace import PhoneError
from .phone import Phone, arm64_phone, overlay_phone

Make = Callable[[Path], AbstractContextManager[Phone]]


def _give_up(reason: str) -> NoReturn:
    (pytest.fail if os.environ.get("CI_PHONES") == "1" else pytest.skip)(reason)
    raise AssertionError


def _session(make: Make, factory: pytest.TempPathFactory) -> Iterator[Phone]:
    if reason := why_not():
        _give_up(reason)
    with ExitStack() as stack:
        try:
            phone = stack.enter_context(make(factory.mktemp("computer")))
        except subprocess.CalledProcessError as error:
            _give_up(f"{error}: {error.stderr}")
        except (PhoneError, OSError, LookupError) as error:
            _give_up(f"{type(error).__name__}: {error}")
        yield phone


def _as_new(phone: Phone, request: pytest.FixtureRequest) -> Phone:
    phone.reset(getattr(request, "param", "adb-29"))
    return phone


@pytest.fixture(scope="session")
def overlay_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    yield from _session(overlay_phone, tmp_path_factory)


@pytest.fixture(scope="session")
def arm64_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    yield from _session(arm64_phone, tmp_path_factory)


@pytest.fixture
def phone(overlay_session: Phone, request: pytest.FixtureRequest) -> Phone:
    """A Pixel 3 with Termux. With `parametrize("phone", ["adb-29", "adb-34"], indirect=True)`, for each adb client."""
    return _as_new(overlay_session, request)


@pytest.fixture
def arm64(arm64_session: Phone, request: pytest.FixtureRequest) -> Phone:
    """A Pixel 3 that runs arm64 programs, without Termux."""
    return _as_new(arm64_session, request)


@pytest.fixture(scope="module")
def models(make_model: Callable[..., Path]) -> str:
    """Two tiny models, as `bench --models` names them."""
    sizes: dict[str, Any] = {"vocab_size": 120, "initializer_range": 0.3}
    return ",".join(str(make_model(model_type=name, **sizes)) for name in ("squeezebert", "bert"))
