"""How far a download is, in numbers for a callback and as a line of text for a terminal.

The library shows nothing by itself: pass `TerminalReporter()` as `progress`, or a function of your own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO


class Progress(NamedTuple):
    """The state of one file; `total` and `seconds_left` are None where the server does not say how long it is.

    Examples
    --------
    >>> Progress("vocab.txt", done=115_754, total=231_508, rate=1e6, seconds_left=0.1).done
    115754
    """

    file: str
    done: int
    total: int | None
    rate: float  # bytes a second, of this connection
    seconds_left: float | None


Callback = Callable[[Progress], None]


class Meter:
    """Turns byte counts into calls of a callback, ten a second at most, and always one at the end.

    Parameters
    ----------
    callback : function of a Progress, optional
    file : str
    clock : function returning seconds
    """

    def __init__(self, callback: Callback | None, file: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._callback, self._file, self._clock = callback, file, clock
        self._began = self._reported = clock()
        self._start = 0

    def begin(self, start: int) -> None:
        """A connection starts to deliver from this byte on: the rate counts from here."""
        self._start, self._began = start, self._clock()

    def update(self, done: int, total: int | None, last: bool = False) -> None:
        """Report that so many bytes are here, unless the last report was a moment ago and this is not the last one."""
        now = self._clock()
        if self._callback is None or (now - self._reported < 0.1 and not last):
            return
        self._reported = now
        rate = (done - self._start) / max(now - self._began, 1e-3)
        seconds_left = (total - done) / rate if total is not None and rate > 0 else None
        self._callback(Progress(self._file, done, total, rate, seconds_left))


def describe(progress: Progress) -> str:
    """One line for people.

    Examples
    --------
    >>> describe(Progress("model.safetensors", 220_000_000, 440_449_768, 11e6, 20.04))
    'model.safetensors   49 %  220.0 of 440.4 MB  11.0 MB/s  0:20 left'
    """
    done, total = progress.done / 1e6, progress.total
    if total is None:
        return f"{progress.file}  {done:.1f} MB  {progress.rate / 1e6:.1f} MB/s"
    percent = 100 * progress.done // total if total else 100
    line = f"{progress.file}  {percent:3d} %  {done:.1f} of {total / 1e6:.1f} MB  {progress.rate / 1e6:.1f} MB/s"
    if progress.seconds_left is None or progress.done == total:
        return line
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    return f"{line}  {minutes}:{seconds:02d} left"


class TerminalReporter:
    """Shows progress on one line that overwrites itself; where the stream is no terminal, it shows nothing.

    Parameters
    ----------
    stream : text stream, optional
        stderr if not given, because stdout is for results.

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> TerminalReporter(stream)(Progress("vocab.txt", 5, 10, 1.0, 5.0))
    >>> stream.getvalue()
    ''
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        if self._stream is None or not self._stream.isatty():  # Python without a console has no stderr
            return
        line = describe(progress)
        self._stream.write("\r" + line.ljust(self._width))
        self._width = len(line)
        if progress.done == progress.total:
            self._stream.write("\n")
            self._width = 0
        self._stream.flush()
