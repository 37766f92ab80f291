"""Checkpoints of a run: folders that are complete or not there at all.

    output_dir/checkpoint-120/
        model.safetensors, config.json   and the tokenizer, if there is one: a model for `from_pretrained`
        optimizer.safetensors            the arrays of the optimizer
        run_state.json                   schedule, generators, place in the data: all that resuming needs besides
        trainer_state.json               `TrainerState`, with everything logged
        SHA256SUMS                       of every other file, written last; `sha256sum -c SHA256SUMS` checks it

A checkpoint is written into a hidden folder that takes its name when every byte is on the disk.  A process killed at
any moment leaves the old checkpoints, or the old ones and the new one; what it was writing is never mistaken for a
checkpoint, and the next run removes it.

Here: writing, finding, checking, deleting such folders, and the optimizer in one.  Not here: what a run puts into
`run_state.json` (`training_run.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import CheckpointError, CheckpointNotFoundError, safetensors
from ..checkpoints.files import replacing

LOGGER = logging.getLogger(__name__)
CHECKSUMS = "SHA256SUMS"
OPTIMIZER_FILE = "optimizer.safetensors"
RUN_STATE = "run_state.json"
TRAINER_STATE = "trainer_state.json"

_NAME = re.compile(r"checkpoint-(\d+)")
_UNFINISHED = re.compile(r"\.(checkpoint-\d+)\.[0-9a-f]{16}\.(tmp|old)")


# ---- writing ----


def write_checkpoint(output_dir: str | Path, step: int, write: Callable[[Path], None]) -> Path:
    """Write the checkpoint of a step, as a whole.

    Parameters
    ----------
    output_dir : path
    step : int
    write : function of a folder
        Writes the files into it.

    Returns
    -------
    path of the checkpoint
        A checkpoint that stood there, of an earlier run, is replaced.

    Raises
    ------
    CheckpointError
        If the disk is full or not writable; other checkpoints are untouched and nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_checkpoint(folder, 5, lambda new: write_json(new / "greeting.json", "hello"))
    ...     path.name, sorted(file.name for file in path.iterdir())
    ('checkpoint-5', ['SHA256SUMS', 'greeting.json'])
    """
    final = Path(output_dir) / f"checkpoint-{step}"
    new = _hidden(final, "tmp")
    try:
        new.mkdir(parents=True)
        write(new)
        for file in new.iterdir():
            _sync_file(file)
        sums = "".join(f"{_sha256(file)}  {file.name}\n" for file in sorted(new.iterdir()))
        with replacing(new / CHECKSUMS) as stream:
            stream.write(sums.encode("utf-8"))
        _put_in_place(new, final)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if not isinstance(error, OSError) and not isinstance(getattr(error, "__cause__", None), OSError):
            raise
        raise CheckpointError(
            f"{final.name} cannot be saved in {output_dir}: {_reason(error)}{_last(final)}"
        ) from error
    return final


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, completely or not at all; floats come back bit for bit."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode("utf-8"))


def save_optimizer(optimizer: Any, folder: Path) -> dict[str, Any]:
    """Write the arrays of an optimizer's state into a file, and return the rest of its state for `run_state.json`."""
    state = optimizer.state_dict()
    tensors: dict[str, np.ndarray] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entry in state["state"].items():
        scalars[str(index)] = {}
        for name, value in entry.items():
            if isinstance(value, np.ndarray):
                tensors[f"{index}.{name}"] = value
            else:
                scalars[str(index)][name] = value
    safetensors.save_file(tensors, folder / OPTIMIZER_FILE)
    return {**state, "state": scalars}


def load_optimizer(optimizer: Any, folder: Path, saved: dict[str, Any]) -> None:
    """Give an optimizer the state that `save_optimizer` wrote and returned."""
    state: dict[int, dict[str, Any]] = {int(index): dict(entry) for index, entry in saved["state"].items()}
    for key, array in safetensors.load_file(folder / OPTIMIZER_FILE, mmap=False).items():
        index, name = key.split(".", 1)
        state[int(index)][name] = array
    optimizer.load_state_dict({**saved, "state": state})


# ---- finding and checking ----


def list_checkpoints(output_dir: str | Path) -> list[Path]:
    """The checkpoints in a folder, by step.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (9, 10):
    ...         _ = write_checkpoint(folder, step, lambda new: None)
    ...     [path.name for path in list_checkpoints(folder)]
    ['checkpoint-9', 'checkpoint-10']
    """
    with suppress(OSError):
        found = [path for path in Path(output_dir).iterdir() if _NAME.fullmatch(path.name)]
        return sorted((path for path in found if (path / CHECKSUMS).is_file()), key=step_of)
    return []


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint is of, from its name."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def get_last_checkpoint(folder: str | Path) -> str | None:
    """The checkpoint to resume from: the last step of the run in this folder that began last; None if there is none.

    One that is damaged is passed over with a warning, one without the state of its run silently.

    Examples
    --------
    >>> get_last_checkpoint("no/such/folder") is None
    True
    """
    candidates = []
    for path in list_checkpoints(folder):
        with suppress(OSError, ValueError, KeyError, TypeError):
            run = json.loads((path / RUN_STATE).read_text(encoding="utf-8"))["run"]
            candidates.append((str(run), step_of(path), path))
    for _, _, path in sorted(candidates, reverse=True):
        try:
            check_checkpoint(path)
        except CheckpointError as error:
            LOGGER.warning("passed over: %s", error)
        else:
            return str(path)
    return None


def check_checkpoint(checkpoint: str | Path) -> None:
    """Compare every file of a checkpoint with its checksum.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such folder.
    CheckpointError
        If it is no checkpoint, or a file is missing or changed.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise CheckpointNotFoundError(f"there is no checkpoint {folder}")
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no checkpoint of a training run: it has no readable {CHECKSUMS}") from error
    for line in lines:
        wanted, _, name = line.partition("  ")
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing; resume from another checkpoint")
        if _sha256(folder / name) != wanted:
            raise CheckpointError(f"{folder / name} is damaged: its SHA-256 is another; resume from another checkpoint")


def read_run_state(checkpoint: Path) -> dict[str, Any]:
    """The content of `run_state.json`, after a check of all files.

    Raises
    ------
    CheckpointError
        As `check_checkpoint`, and if the checkpoint holds a model alone.
    """
    check_checkpoint(checkpoint)
    if not (checkpoint / RUN_STATE).is_file():
        raise CheckpointError(f"{checkpoint} holds a model without the state of its run; it cannot be resumed")
    return json.loads((checkpoint / RUN_STATE).read_text(encoding="utf-8"))


# ---- deleting ----


def clean(output_dir: str | Path) -> None:
    """Remove what a killed process left half written or half deleted, and put back what it had moved away."""
    folder = Path(output_dir)
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        match = _UNFINISHED.fullmatch(path.name)
        if match and match[2] == "old" and not (folder / match[1]).exists():
            os.rename(path, folder / match[1])
        elif match:
            shutil.rmtree(path, ignore_errors=True)


def delete_checkpoint(checkpoint: Path) -> None:
    """Delete a checkpoint: it loses its name first, so that half of one is never found."""
    doomed = _hidden(checkpoint, "tmp")
    with suppress(OSError):
        os.rename(checkpoint, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def rotate(checkpoints: Iterable[Path], limit: int | None, keep: str | Path | None = None) -> list[Path]:
    """Delete the oldest checkpoints until `limit` are left.

    The last one stays, and the one to `keep`, which may make it one more than the limit.

    Returns
    -------
    list of path
        Those that are left.
    """
    left = list(checkpoints)
    if limit is None:
        return left
    kept = {left[-1].name if left else "", Path(keep).name if keep is not None else ""}
    for path in [path for path in left if path.name not in kept]:
        if len(left) <= limit:
            break
        delete_checkpoint(path)
        left.remove(path)
    return left


# ---- helpers ----


def _hidden(final: Path, ending: str) -> Path:
    return final.parent / f".{final.name}.{os.urandom(8).hex()}.{ending}"


def _put_in_place(new: Path, final: Path) -> None:
    """Give the new folder its name; an older one of that name is moved away first and deleted afterwards."""
    _sync(new)
    old = _hidden(final, "old")
    if final.exists():
        os.rename(final, old)
    try:
        os.rename(new, final)
    except OSError:
        if old.exists():
            os.rename(old, final)
        raise
    _sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_file(path: Path) -> None:
    """Bring a file to the disk, whoever wrote it."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _reason(error: BaseException) -> str:
    """What the system said, from an OSError or from one behind another error."""
    cause = error if isinstance(error, OSError) and error.strerror else error.__cause__
    return (getattr(cause, "strerror", None) or str(error)).lower()


def _last(final: Path) -> str:
    others = [path for path in list_checkpoints(final.parent) if path != final]
    return f"; {others[-1]} is intact" if others else "; there is no earlier one"
