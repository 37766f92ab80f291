"""Ctrl-C while training: the step at hand is finished, then the run is saved and left.

Read next: `training_run.py`.
"""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interruption:
    """Within a `with` block, the first Ctrl-C only asks to stop; a second one stops at once.

    `check()` raises KeyboardInterrupt once Ctrl-C was pressed: it is called where the run can be saved.  Outside the
    main thread, or where the program handles Ctrl-C in its own way, nothing is changed.

    Examples
    --------
    >>> with Interruption() as interruption:
    ...     interruption.check()
    ...     interruption.requested
    False
    """

    def __init__(self) -> None:
        self.requested = False
        self.insisted = False  # Ctrl-C was pressed twice
        self._previous: Any = None

    def __enter__(self) -> Interruption:
        self.requested = self.insisted = False
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and handler is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.requested:
            raise KeyboardInterrupt

    def _request(self, signum: int, frame: Any) -> None:
        if self.requested:
            self.insisted = True
            raise KeyboardInterrupt
        self.requested = True
