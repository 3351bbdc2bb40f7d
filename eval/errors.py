"""What goes wrong with files that come from outside. One line each: found, expected, where, cure."""

from __future__ import annotations


class SchemaError(ValueError):
    """A file does not hold what its format promises; the message names file, record and cure."""
