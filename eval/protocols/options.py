"""The values of a protocol's own options, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from eval.errors import RequestError
from eval.protocols.protocol import Request

Choice = TypeVar("Choice", bound=str)


def choice(request: Request, option: str, choices: Sequence[Choice]) -> Choice:
    """The value of an option, or the first choice.

    Raises:
        RequestError: It is none of the choices.
    """
    value = request.options.get(option, choices[0])
    if value not in choices:
        raise RequestError(f"Option {option} is '{value}', expected one of: {', '.join(choices)}.")
    return cast(Choice, value)


def number(request: Request, option: str, default: float) -> float:
    """The value of an option that is a number of at least 0.

    Raises:
        RequestError: It is no such number.
    """
    text = request.options.get(option)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise RequestError(f"Option {option} is '{text}', expected a number of at least 0.")
    return value
