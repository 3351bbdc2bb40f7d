"""Errors that a user can act on.

Each carries one line: what was expected, what was found, where, and what to do. Tools print that line and exit 2;
anything else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from eval.errors import one_line


class UserError(Exception):
    """The input, the arguments or the files are at fault, not the program.

    Args:
        message: One line; what it quotes from files is made to fit.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class InputError(UserError):
    """A video, image, folder or option cannot be used."""


class SchemaError(UserError):
    """A file was read, but its content breaks the format."""


class CheckpointError(UserError):
    """A checkpoint cannot be read, is not trusted, or does not fit the model."""


class OutputExistsError(UserError):
    """Writing would replace an existing file or folder."""
