"""What can go wrong with a phone, each with a status of its own."""

from __future__ import annotations

from enum import IntEnum

from sqbert_cli.errors import SqbertError


class Status(IntEnum):
    """How the command ends; docs/pixel3.md lists them."""

    NO_PHONE = 1
    NO_ADB = 10
    UNAUTHORIZED = 11
    OFFLINE = 12
    NO_PERMISSION = 13
    SEVERAL = 14
    WRONG_PHONE = 15
    WRONG_ARCHITECTURE = 16
    NO_TERMUX = 17
    NO_TORCH = 18
    HOST_KEY = 19
    CONDITIONS = 20
    NO_SPACE = 21
    LOST = 22
    BAD_RESULT = 23
    OTHER_LOGITS = 24
    TOO_LONG = 25
    RUNNER_FAILED = 26


class PhoneError(SqbertError):
    """Something about the phone or the way to it."""

    def __init__(self, status: Status, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = int(status)
