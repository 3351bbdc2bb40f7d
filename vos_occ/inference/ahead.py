"""Work beside work: an iterable that runs in a thread of its own, a few items ahead. Knows nothing of videos."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")

_LOOK_UP = 0.1  # seconds between looks at whether anybody still wants an item


class _End:
    """What comes after the last item: nothing, or the error that ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[Item]):
    """The items of an iterable, in their order, computed in a thread before they are asked for.

    An error of the iterable is raised where its item would have come. Chained, each gets its own thread: decoding,
    model and drawing then run side by side, since FFmpeg, torch and OpenCV let go of Python's lock while they work.

    Args:
        items: iterated, and closed if it is a generator, in the thread alone.
        depth: most items that wait; with the one in work and the one in use, `depth + 2` are in memory.

    Example:
        >>> with Ahead(video) as frames:
        ...     for frame in frames:
        ...         ...
    """

    def __init__(self, items: Iterable[Item], depth: int = 1) -> None:
        self._items = iter(items)
        self._queue: queue.Queue[Item | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ahead[Item]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                self._queue.put(item)  # for whoever asks again
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
            end = _End()
        except BaseException as error:  # noqa: BLE001 (raised again where the item is asked for)
            end = _End(error)
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put(end)

    def _put(self, item: Item | _End) -> bool:
        """Waits for room; False if nobody wants items any more."""
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_UP)
            except queue.Full:
                continue
            return True
        return False
