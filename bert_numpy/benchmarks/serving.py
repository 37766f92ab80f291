"""What every worker does: read a request from stdin, carry it out, answer on stdout, one JSON object a line each.

    {"do": "prepare", "case": {…}}                            {"variants": ["eager", "sdpa"]}
    {"do": "check", "file": "ours.npz"}                       {}
    {"do": "run", "variant": "sdpa", "seconds": 0.3}          {"seconds": [0.021, 0.019, …]}
    {"do": "peak"}                                            {"bytes": 123456789}
    {"do": "release"}                                         {}

The first line of a worker says what it consists of.  It ends when its stdin does.  A request that fails ends it with a
traceback on stderr, from which the parent quotes.

Here: the loop, the clock, the peak of memory and the reading of inputs, the same for both libraries.
Not here: what is run.
Read next: `worker.py`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np


class Prepared(NamedTuple):
    """A case that is ready to run.

    Attributes
    ----------
    runs : mapping of str to function
        The ways to run it, by name.
    check : function
        Returns what is compared with the other side.
    before : function
        Called before each run, outside the time.
    """

    runs: Mapping[str, Callable[[], object]]
    check: Callable[[], Mapping[str, np.ndarray]]
    before: Callable[[], object] = bool


def serve(prepare: Callable[[dict[str, Any]], Prepared], about: Mapping[str, str]) -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    replies = private_stdout()
    reply(replies, about=about)
    answer(sys.stdin, replies, prepare)


def answer(requests: Iterable[str], replies: TextIO, prepare: Callable[[dict[str, Any]], Prepared]) -> None:
    """The loop of `serve`, on any two streams."""
    prepared = Prepared({}, dict)
    for line in requests:
        request = json.loads(line)
        if request["do"] == "run":
            reply(replies, seconds=timed(prepared.runs[request["variant"]], request["seconds"], prepared.before))
        elif request["do"] == "prepare":
            prepared = prepare(request["case"])
            reply(replies, variants=list(prepared.runs))
        elif request["do"] == "check":
            write_arrays(request["file"], prepared.check())
            reply(replies)
        elif request["do"] == "peak":
            reply(replies, bytes=peak_memory())
        elif request["do"] == "release":
            prepared = Prepared({}, dict)
            reply(replies)
        else:
            raise ValueError(f"a worker cannot {request['do']!r}")


def timed(run: Callable[[], object], seconds: float, before: Callable[[], object] = bool) -> list[float]:
    """Run once, and again until the runs have taken so many seconds; how long each took."""
    taken: list[float] = []
    while not taken or sum(taken) < seconds:
        before()
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken


def first_answer(answer_once: Callable[[], Mapping[str, np.ndarray]], file: str) -> None:
    """For a process that answers once: say so at once, then the peak of memory, then write what the answer was."""
    replies = private_stdout()
    outputs = answer_once()
    reply(replies, answered=True)
    reply(replies, bytes=peak_memory())
    write_arrays(file, outputs)


def peak_memory() -> int | None:
    """The most memory, in bytes, that this process has held at once, mapped files included; None on Windows.

    Linux carries `ru_maxrss` over from the process that started this one, so its own count is preferred.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Arrays by name, for another process."""
    np.savez(path, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote."""
    with np.load(path) as file:
        return dict(file)


def norm_of(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The norm of all arrays together, in float64: torch's own, in float32, is off by 2e-5 over a table of words.

    >>> norm_of([np.array([3.0]), np.array([[0.0, 4.0]])])
    array(5.)
    """
    return np.array(np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays)))


def text_lines(text: str) -> list[str]:
    """The lines that are not blank, as both sides take them."""
    return [line for line in text.split("\n") if line.strip()]


def private_stdout() -> TextIO:
    """The stdout of this process for replies alone: whatever else is printed goes to stderr from now on."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def reply(replies: TextIO, **content: object) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()
