"""What a user can mend, said in the user's words."""


class SqbertError(Exception):
    """A mistake in the input or the surroundings; shown as `error:` and `hint:`, without a traceback."""

    status = 1
    """How the command ends."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
