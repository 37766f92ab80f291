"""The log of a run: `train_log.jsonl`, one JSON object on each line.

    {"step": 7, "epoch": 0.7, "loss": 0.693, "learning_rate": 4e-05, "grad_norm": 1.9, "tokens_per_second": 5120.0}
    {"step": 10, "epoch": 1.0, "eval_loss": 0.52, "eval_accuracy": 0.81, ...}

One object for each step; after an evaluation, one for it.  Each line goes to the system in one piece when its step is
done, so a killed process leaves whole lines, and a reader may follow the file as it grows.  A checkpoint notes how
long the file was; resuming cuts it back to that length, so no step stands there twice.

Read next: `checkpointing.py`.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from ..checkpoints import CheckpointError
from .state import as_plain

LOG_NAME = "train_log.jsonl"


class RunLog:
    """Writes the log.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    keep : int
        Bytes of a log that is there to keep; 0 starts a new one.

    Raises
    ------
    CheckpointError
        If the folder or the file cannot be made or written: before any time is spent on training.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = RunLog(folder)
    ...     log.append({"step": 1, "loss": 0.5})
    ...     log.close()
    ...     read_log(folder)
    [{'step': 1, 'loss': 0.5}]
    """

    def __init__(self, folder: str | Path, keep: int = 0) -> None:
        self.path = Path(folder) / LOG_NAME
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  open for as long as the run lasts
            self._cut(keep)
        except OSError as error:
            raise CheckpointError(f"output_dir {folder} cannot be written: {error.strerror or error}") from error

    def append(self, record: dict[str, Any]) -> None:
        """Add one object.

        Raises
        ------
        CheckpointError
            If the disk is full.
        """
        line = json.dumps({key: _plain(value) for key, value in record.items()}, default=as_plain) + "\n"
        try:
            self._file.write(line.encode("utf-8"))
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def sync(self) -> int:
        """Bring everything to the disk, and return the length of the file in bytes."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written: {error.strerror or error}") from error
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file; safe to call again."""
        self._file.close()

    def _cut(self, keep: int) -> None:
        """Shorten the file to `keep` bytes; of a shorter one, keep its whole lines."""
        size = os.fstat(self._file.fileno()).st_size
        if size < keep:
            keep = self.path.read_bytes().rfind(b"\n") + 1
        if size > keep:
            self._file.truncate(keep)


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """The objects of the log in a folder, in order; a last line that is still being written is left out.

    Raises
    ------
    FileNotFoundError
        If there is no log.
    ValueError
        If a line is no JSON object, naming it.
    """
    path = Path(folder) / LOG_NAME
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{number}: not a JSON object")
        records.append(record)
    return records


def _plain(value: Any) -> Any:
    """A value that JSON can hold: NumPy scalars as numbers, NaN and infinity as text."""
    value = value.item() if hasattr(value, "item") else value
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
