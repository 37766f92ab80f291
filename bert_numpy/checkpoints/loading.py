"""From a path to tensors, whatever the file is called: ``load_file`` and ``load_checkpoint``.

What is not here: the formats themselves. Read next: ``key_mapping.py``, which fits the names to a model.
"""

import os
from typing import Any

from numpy.typing import NDArray

from . import safetensors, sharded, sniffing, tensorflow_source
from .errors import CheckpointError, CheckpointNotFoundError, listed
from .files import Path, open_regular, shown

TORCH_NAME = "pytorch_model.bin"
_OTHER_WEIGHTS = (".safetensors", ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".index", ".h5")


def load_file(path: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load every tensor of one weight file; its format is recognised by content, not by name.

    Parameters
    ----------
    path : str or path-like
        A safetensors file or the index of a sharded checkpoint, a file of ``torch.save``, or a TensorFlow checkpoint:
        its prefix, its index or a zip archive of it. The names of TensorFlow's are mapped to today's.
    mmap : bool
        As for :func:`bert_numpy.checkpoints.safetensors.load_file`.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If the file is of another kind, which the message names, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.bin")
    ...     safetensors.save_file({"a": np.ones(2)}, path)
    ...     load_file(path, mmap=False)
    {'a': array([1., 1.])}
    """
    if _is_part_of_tensorflow(os.fspath(path)):
        return _from_tensorflow(path, mmap)
    with open_regular(path) as (file, size):
        kind = sniffing.recognise(file, size)
    if kind is sniffing.JSON:
        return sharded.load_sharded(path, mmap=mmap)
    if kind is sniffing.TENSORFLOW_INDEX or (kind is sniffing.TORCH_ZIP and tensorflow_source.is_archive(path)):
        return _from_tensorflow(path, mmap)
    if kind in (sniffing.TORCH_ZIP, sniffing.TORCH_LEGACY):
        from . import torch_pickle  # read by few, and a third of what importing this package would cost

        return torch_pickle.load_file(path, mmap=mmap)
    return safetensors.load_file(path, mmap=mmap)


def _is_part_of_tensorflow(path: str) -> bool:
    """Whether a path is a prefix, which is no file, or a file that only means something beside an index."""
    name = os.path.basename(path)
    return os.path.isfile(path + tensorflow_source.INDEX) or name.endswith(".meta") or ".data-0" in name


def _from_tensorflow(path: Path, mmap: bool) -> dict[str, NDArray[Any]]:
    from . import tensorflow, tensorflow_names  # as above

    stored = tensorflow.load_checkpoint(path, mmap=mmap)
    return tensorflow_names.to_published(stored, source=shown(path))


def load_checkpoint(folder_or_file: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load a checkpoint: a weight file, or a folder as transformers writes it, sharded or not.

    Parameters
    ----------
    folder_or_file : str or path-like
        In a folder the first of these is taken: ``model.safetensors``, ``model.safetensors.index.json``,
        ``pytorch_model.bin``, a TensorFlow checkpoint. Anything else as for :func:`load_file`.
    mmap : bool
        As for :func:`bert_numpy.checkpoints.safetensors.load_file`.

    Raises
    ------
    CheckpointNotFoundError
        If the path does not exist, or the folder holds neither file.
    CheckpointError
        If a file is damaged or of another kind.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     safetensors.save_file({"a": np.ones(2)}, os.path.join(folder, "model.safetensors"))
    ...     load_checkpoint(folder, mmap=False)
    {'a': array([1., 1.])}
    """
    if not os.path.isdir(folder_or_file):
        return load_file(folder_or_file, mmap=mmap)
    for name in (sharded.SINGLE_NAME, sharded.INDEX_NAME, TORCH_NAME):
        path = os.path.join(folder_or_file, name)
        if os.path.lexists(path):  # a broken link must be reported, not passed over
            return load_file(path, mmap=mmap)
    try:
        there = os.listdir(folder_or_file)
    except OSError as error:
        raise CheckpointError(f"{shown(folder_or_file)}: cannot be read: {error.strerror}") from error
    if any(name.endswith(tensorflow_source.INDEX) for name in there):
        return _from_tensorflow(folder_or_file, mmap)
    others = listed(name for name in there if name.endswith(_OTHER_WEIGHTS))
    raise CheckpointNotFoundError(
        f"{shown(folder_or_file)}: no {sharded.SINGLE_NAME}, {sharded.INDEX_NAME}, {TORCH_NAME} "
        "or TensorFlow checkpoint" + (f"; it holds {others}" if others else "")
    )
