from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vos_occ.inference.ahead import Ahead


def test_items_come_in_order_from_another_thread() -> None:
    threads = []

    def items() -> Iterator[int]:
        for i in range(50):
            threads.append(threading.get_ident())
            yield i

    with Ahead(items()) as ahead, Ahead(2 * i for i in ahead) as doubled:
        assert list(doubled) == [2 * i for i in range(50)]
    assert set(threads) != {threading.get_ident()} and len(set(threads)) == 1


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("torn")

    got = []
    with Ahead(items()) as first, Ahead(first) as ahead, pytest.raises(ValueError, match="torn"):
        for item in ahead:
            got.append(item)
    assert got == [1, 2]


def test_no_more_than_a_few_items_are_made_ahead() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    with Ahead(items(), depth=2) as ahead:
        taken = iter(ahead)
        assert next(taken) == 0
        until = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(made) == 4  # one in use, two waiting, one in work


def test_leaving_early_closes_the_source_in_its_own_thread() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.get_ident())

    with pytest.raises(KeyError), Ahead(endless()) as source, Ahead(source) as ahead:
        for _ in ahead:
            raise KeyError
    assert len(closed) == 1 and closed[0] != threading.get_ident()
    assert not [thread for thread in threading.enumerate() if thread.ident == closed[0]]


def test_nothing_to_do_is_no_error() -> None:
    with Ahead([]) as ahead:
        assert list(ahead) == [] == list(ahead)
