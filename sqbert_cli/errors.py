"""What a user can mend, said in the user's words."""

FULL = "something else may fill it; a GPU can be left alone with `--device cpu`"
"""Hint about a memory."""
MOST = 6_000
"""Characters of a message."""


class SqbertError(Exception):
    """A mistake in the input or the surroundings; shown as `error:` and `hint:`, without a traceback."""

    status = 1
    """How the command ends."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message, self.hint = shortened(message), None if hint is None else shortened(hint)
        super().__init__(self.message)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch found no room: it has a class for that, but not for mps, libraries of CUDA, and the processor."""
    told = ("out of memory", "ALLOC_FAILED", "allocate memory", "not enough memory")
    return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in told)


def shortened(text: str) -> str:
    """Leave out the middle of what nobody would read: a message may quote a line of a million characters."""
    return text if len(text) <= MOST else f"{text[: MOST * 3 // 4]} [...] {text[-MOST // 4 :]}"
