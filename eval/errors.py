"""What goes wrong with what comes from outside. One line each: found, expected, where, cure."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 1000  # characters


def one_line(message: str) -> str:
    """A message that quotes what a file holds, without the line breaks and control characters that it may hold.

    What is longer than any line of ours is cut.
    """
    if not message.isprintable():
        message = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 203]}...{message[-200:]}"


def listed(names: Iterable[object]) -> str:
    """Up to five of what a message is about, and how many more there are."""
    names = list(names)
    return ", ".join(map(str, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


class EvalError(ValueError):
    """The user can mend it; the message says how.

    Args:
        message: One line; what it quotes from files is made to fit.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class SchemaError(EvalError):
    """A file does not hold what its format promises; the message names file, record and cure."""


class RequestError(EvalError):
    """What was asked for cannot be done: an unknown protocol, a path that is not there, an option that has no use."""
