"""Being asked to stop (Ctrl-C, SIGTERM) as something to be done between two frames, not in the middle of a file."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from vos_occ.structures.errors import UserError


class Stopped(UserError):
    """The user, or the system, asked the process to stop.

    Attributes:
        exit_code: What a shell expects of a process that ended this way.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopSignals:
    """Notes SIGINT and SIGTERM while the block runs; a second one ends the process at once.

    Example:
        >>> with StopSignals() as stop:
        ...     for frame in video:
        ...         if stop.requested:
        ...             break

    Outside the main thread, which alone may handle signals, it notes nothing.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number)
        self._restore()  # so that the next one does what it does elsewhere

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def check(self, done: str) -> None:
        """Raises Stopped if a stop was asked for; `done` says what is safe and how to go on."""
        if self.requested is not None:
            raise Stopped(f"Stopped by {self.requested.name}. {done}", self.requested)
