"""What goes wrong with what comes from outside. One line each: found, expected, where, cure."""

from __future__ import annotations


class EvalError(ValueError):
    """The user can mend it; the message says how."""


class SchemaError(EvalError):
    """A file does not hold what its format promises; the message names file, record and cure."""


class RequestError(EvalError):
    """What was asked for cannot be done: an unknown protocol, a path that is not there, an option that has no use."""
