"""Workers as the parent sees them: start, ask, end, and one clear line when one fails.

Here: processes and their environment.  Not here: what they do (`worker.py`, `reference_worker.py`).
Read next: `running.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package
OURS = ("-m", "bert_numpy.benchmarks.worker")
REFERENCE = (str(Path(__file__).with_name("reference_worker.py")),)
REFERENCE_PACKAGES = ("torch", "transformers", "tokenizers")


class WorkerError(ChildProcessError):
    """A worker ended when it should not; the message ends with the last lines that it wrote on stderr."""


def check_reference(packages: Sequence[str] = REFERENCE_PACKAGES) -> None:
    """Refuse to go on where the reference is not installed; nothing is imported.

    Raises
    ------
    ValueError
        Naming what is missing, and the remedy.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"--against transformers needs what is not installed here: {', '.join(missing)}; "
            'pip install "bert-numpy[reference]"'
        )


def environment(threads: int) -> dict[str, str]:
    """That of a worker: every library of linear algebra reads its number of threads before it is imported.

    Tokenizers get one thread; nothing is downloaded, and no progress is drawn.
    """
    names = ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **{f"{name}_NUM_THREADS" if name != "VECLIB_MAXIMUM" else f"{name}_THREADS": str(threads) for name in names},
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",  # files beside a worker are not modules of other packages
        "PYTHONIOENCODING": "utf-8",
    }


class Worker:
    """A process that answers requests; as a context manager it is ended on leaving, whatever happened.

    Parameters
    ----------
    name : str
        For messages: "bert_numpy" or "transformers".
    command : sequence of str
        Arguments of Python.
    threads : int
    folder : Path
        For the file that takes its stderr.
    """

    def __init__(self, name: str, command: Sequence[str], threads: int, folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}-{time.monotonic_ns()}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(threads),
                encoding="utf-8",
            )
        self._doing = "starting"

    def ask(self, do: str, **request: object) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises
        ------
        WorkerError
            If the worker ends instead.
        """
        self._doing = {"run": "running", "prepare": "preparing"}.get(do, f"asked to {do}")
        assert self._process.stdin is not None
        with suppress(OSError):  # if it has ended, `read` says how
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next line that the worker writes."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise WorkerError(self._how_it_ended())
        return json.loads(line)

    def finish(self) -> None:
        """Wait for a worker that ends by itself.

        Raises
        ------
        WorkerError
            If it ends with an error.
        """
        if self._process.wait():
            raise WorkerError(self._how_it_ended())

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = " | ".join(line.strip() for line in lines[-3:] if line.strip()) or "it wrote nothing on stderr"
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"the worker of {self.name} {how} while {self._doing}: {last}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the process: at once after an error or Ctrl-C, else by closing its stdin."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kind is not None:
            self._process.kill()
        with suppress(OSError):  # what it was to be asked stays unsaid
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
