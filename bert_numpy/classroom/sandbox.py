"""Submissions in processes of their own: start one with limits, wait, read what came of it, or say why nothing did.

    outcome = Sandbox(limits).run(exercise, cells, calls)
    outcome.observations      # one for each call, or none
    outcome.reason            # why there are none

Whatever comes back is data (JSON, arrays without objects), read with limits of its own; nothing of a submission is
imported here.

Here: the parent's side.  Not here: the child's (`harness.py`), what the child may use (`given.py`).
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .calls import Flat
from .catalogue import all_exercises, chapter_of
from .comparing import Call, Observation
from .exercise import Exercise
from .given import PACKAGE, write_given
from .harness import GUARDED, UNFINISHED
from .plain import one_line
from .submission import CodeCell

HARNESS = Path(__file__).with_name("harness.py")
LARGEST_RESULT = 64_000_000  # bytes, of all arrays together
LARGEST_ANSWER = 4_000_000  # bytes, of the JSON
POLL = 0.02  # seconds
PATIENCE = 6 if os.name != "nt" else 1  # seconds on the clock for each one of computing: the machine may be busy
SHOWN = 2000  # characters of what was printed
MOST_ARRAYS = 20_000
NO_MEMORY = ("MemoryError", "Memory allocation still failed", "too many memory regions", "annot allocate memory")


@dataclass(frozen=True)
class Limits:
    """For one exercise.

    Parameters
    ----------
    seconds : float
        Of processor time, and `PATIENCE` times as long on the clock; on Windows, of the clock.
    memory : int
        Bytes of address space; not on macOS and Windows.
    output : int
        Bytes that may be printed.
    """

    seconds: float = 10.0
    memory: int = 2_000_000_000
    output: int = 1_000_000

    @property
    def seconds_on_the_clock(self) -> float:
        return PATIENCE * self.seconds


@dataclass(frozen=True)
class Outcome:
    """What came of running an exercise of a submission.

    Parameters
    ----------
    observations : list of Observation
        One for each call; empty if there is a reason.
    reason : str
        Why there are none.
    printed : str
        The beginning of what was printed.
    cell_errors : tuple of str
        Errors of cells, the function's own or others.
    """

    observations: list[Observation]
    reason: str = ""
    printed: str = ""
    cell_errors: tuple[str, ...] = ()


class BadResultError(ValueError):
    """A result file that no honest run writes."""


class Sandbox:
    """Runs exercises of submissions; keeps the archives of the package that it has made.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._archives: dict[str, bytes] = {}
        self._stopped = False

    def stop(self) -> None:
        """End the processes that run, and those that are started afterwards, soon."""
        self._stopped = True

    def run(self, exercise: Exercise, cells: Sequence[CodeCell], calls: Sequence[Call]) -> Outcome:
        """Run the cells of a chapter and one exercise of it, in a process and a folder of their own."""
        with tempfile.TemporaryDirectory(prefix="exercise-", ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            self._write_request(folder, exercise, cells, calls)
            code, killed = self._wait(folder)
            printed = _head(folder / "printed.txt")
            reason = killed or self._reason(folder, code, printed)
            if reason:
                return Outcome([], reason, printed)
            try:
                observations, missing, errors = _read_answer(folder, len(calls))
                reason = "; ".join([missing, *errors[:3]]) if missing else ""
                return Outcome(observations, reason, printed, tuple(errors))
            except (BadResultError, OSError) as error:
                return Outcome([], f"the result cannot be read: {error}", printed)

    def _write_request(
        self, folder: Path, exercise: Exercise, cells: Sequence[CodeCell], calls: Sequence[Call]
    ) -> None:
        if exercise.name not in self._archives:
            write_given(exercise, folder / "given.zip")
            self._archives[exercise.name] = (folder / "given.zip").read_bytes()
        else:
            (folder / "given.zip").write_bytes(self._archives[exercise.name])
        settings = {
            "paths": sorted({_home("numpy"), _home("regex")}),
            "forbidden": str(PACKAGE),
            "memory": self.limits.memory,
            "seconds": math.ceil(self.limits.seconds),
            "output": LARGEST_RESULT,
        }
        content = {
            "cells": [(cell.name, cell.source) for cell in cells],
            "name": exercise.name,
            "call": exercise.call,
            "others": other_functions(exercise),
            "args": [call.args for call in calls],
        }
        (folder / "request.pickle").write_bytes(json.dumps(settings).encode() + b"\n" + pickle.dumps(content))

    def _wait(self, folder: Path) -> tuple[int, str]:
        command = [sys.executable, "-I", "-B", "-X", "utf8", str(HARNESS), str(folder)]
        seconds = self.limits.seconds_on_the_clock
        return run_limited(command, folder, _environment(folder), seconds, lambda: self._too_much(folder))

    def _too_much(self, folder: Path) -> str:
        """Whether more was printed, or written, than there may be; or nobody waits for it any more."""
        if self._stopped:
            return "it was interrupted"
        with suppress(OSError):
            if (folder / "printed.txt").stat().st_size > self.limits.output:
                return f"it printed more than {self.limits.output:,} bytes"
            if sum(file.stat().st_size for file in os.scandir(folder)) > 2 * LARGEST_RESULT:
                return f"it wrote more than {2 * LARGEST_RESULT:,} bytes"
        return ""

    def _reason(self, folder: Path, code: int, printed: str) -> str:
        """Why a process that has ended has no result."""
        if code == GUARDED:
            tried = _line(_head(folder / "guard.txt", 300))
            return f"it tried to {tried}, which is not allowed here" if tried else "the guard ended it"
        if code == UNFINISHED:
            return _line(_head(folder / "guard.txt", 300)) or "it broke off"
        if (folder / "result.json").is_file() and (folder / "result.json").stat().st_size and code == 0:
            return ""
        last = _head(folder / "printed.txt", from_end=True)
        if any(sign in printed + last for sign in NO_MEMORY):
            return f"it needs more than {self.limits.memory / 1e6:,.0f} MB of memory"
        if code == -24:  # SIGXCPU
            return f"it did not end within {self.limits.seconds:g} seconds of computing; is there an endless loop?"
        if code == -9:
            return (
                f"the system killed it: more than {self.limits.seconds:g} seconds of computing, or no memory was left"
            )
        if code < 0:
            return f"it died of signal {-code}"
        if code == 0 or not printed.strip():
            return f"it ended the process (exit code {code}) before the function had returned"
        return f"the process failed: {_line(last.strip().splitlines()[-1][:200])}"


def run_limited(
    command: list[str], folder: Path, environment: dict[str, str], seconds: float, complaint: Callable[[], str]
) -> tuple[int, str]:
    """Start a process in a folder and wait for its end; what it prints goes to `printed.txt` there.

    Parameters
    ----------
    command : list of str
    folder : Path
    environment : dict
    seconds : float
        After which it is killed.
    complaint : function without arguments
        Asked again and again; the process is killed when there is one.

    Returns
    -------
    (int, str)
        The exit code, and why it was killed, else "".
    """
    with open(folder / "printed.txt", "wb") as printed:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, env=environment
        )
    end = time.monotonic() + seconds
    try:
        while process.poll() is None:
            if time.monotonic() > end:
                return 0, f"it did not end within {seconds:g} seconds on the clock"
            if complaint():
                return 0, complaint()
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
        return process.returncode, complaint()
    finally:
        process.kill()
        process.wait()


def other_functions(exercise: Exercise, everywhere: bool = False) -> list[tuple[str, str]]:
    """(name, module) of the functions that other exercises ask for.

    Those of the same chapter, or `everywhere`: a chapter imports what it needs of the others, and whatever a student
    calls so there is a helper.
    """
    exercises = all_exercises() if everywhere else chapter_of(exercise)[1].exercises
    others = [other for other in exercises if other is not exercise and "." not in other.name]
    return [(other.name, other.module) for other in others]


def _home(package: str) -> str:
    """The folder that a package is in."""
    spec = importlib.util.find_spec(package)
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def _environment(folder: Path) -> dict[str, str]:
    """What a submission knows of the machine: next to nothing."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "SYSTEMDRIVE", "LD_LIBRARY_PATH") if name in os.environ}
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR")}
    return {**kept, **threads, "VECLIB_MAXIMUM_THREADS": "1", "TMPDIR": str(folder), "TEMP": str(folder)}


def _head(path: Path, limit: int = SHOWN, from_end: bool = False) -> str:
    """The beginning of a file, or its end, as printable text."""
    try:
        with open(path, "rb") as file:
            if from_end:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            text = file.read(limit + 1).decode("utf-8", "replace")
    except OSError:
        return ""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text[:limit])
    return shown + (" ..." if len(text) > limit else "")


# ---- reading the answer ----


def _read_answer(folder: Path, count: int) -> tuple[list[Observation], str, list[str]]:
    """The observations, or none and what is missing; and the errors of cells.

    Raises
    ------
    BadResultError
        If the files are not what the harness writes.
    """
    if (folder / "result.json").stat().st_size > LARGEST_ANSWER:
        raise BadResultError("result.json is too large")
    try:
        answer = json.loads((folder / "result.json").read_bytes())
        missing, errors = _line(answer.get("missing", "")), [_line(error) for error in answer["cells"]]
        if missing:
            return [], missing, errors
        if (folder / "result.npz").stat().st_size > LARGEST_RESULT:
            raise BadResultError("result.npz is too large")
        arrays = read_arrays((folder / "result.npz").read_bytes())
        observations = [_decoded(observation, arrays) for observation in answer["observations"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadResultError(f"{type(error).__name__}") from None
    if len(observations) != count:
        raise BadResultError(f"{len(observations)} observations of {count}")
    return observations, "", errors


def _line(text: Any) -> str:
    return one_line(text, 400, " ")


def _decoded(observation: dict[str, Any], arrays: dict[str, np.ndarray]) -> Observation:
    if "error" in observation:
        return Observation(error=_line(observation["error"]) or "error", kind=_line(observation["kind"]))
    return Observation(_with_arrays(observation["outputs"], arrays), _with_arrays(observation["arguments"], arrays))


def _with_arrays(leaves: dict[str, Any], arrays: dict[str, np.ndarray]) -> Flat:
    flat: Flat = {}
    for path, leaf in leaves.items():
        if isinstance(leaf, dict):
            flat[path] = arrays[leaf["array"]]
        elif leaf is None or isinstance(leaf, (bool, int, float, str)):
            flat[path] = leaf
        else:
            raise BadResultError("a leaf is no number or text")
    return flat


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz file that anybody may have written: no objects, no more bytes than declared or allowed.

    Raises
    ------
    BadResultError
        If it is anything else.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> np.savez(file, a=np.arange(3.0))
    >>> read_arrays(file.getvalue())
    {'a': array([0., 1., 2.])}
    """
    if len(content) > LARGEST_RESULT:
        raise BadResultError("result.npz is too large")
    if content.count(b"PK\x01\x02") > MOST_ARRAYS:  # entries of the directory; all of them are read at once
        raise BadResultError("result.npz holds too many arrays")
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST_RESULT:
                raise BadResultError("result.npz is too large")
            for info in archive.infolist():
                arrays[info.filename.removesuffix(".npy")] = _read_array(archive.read(info))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise BadResultError(f"result.npz is no archive ({type(error).__name__})") from None
    return arrays


def _read_array(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read_header(file)
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise BadResultError("result.npz holds something that is no array") from None
    data = content[file.tell() :]
    if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize != len(data):
        raise BadResultError("result.npz holds an array that is not what its header says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
