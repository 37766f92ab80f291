"""Checkpoints split over several safetensors files, held together by ``model.safetensors.index.json``.

The index names the file ("shard") of every tensor::

    {"metadata": {"total_size": 1234}, "weight_map": {"name": "model-00001-of-00002.safetensors", ...}}

Index and shards must agree exactly: a tensor that only one of them knows means that files of two checkpoints
were mixed. What is not here: a single file (``safetensors.py``). Read next: ``loading.py``.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from . import safetensors, safetensors_header, strict_json
from .errors import CheckpointError, listed, quoted
from .files import Path, open_regular, replacing, shown

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"


def read_index(path: Path) -> dict[str, str]:
    """Return ``{tensor name: file name of its shard}``, checked to name plain files in the same folder.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If it is not an index, or a shard is not a plain ``.safetensors`` name: an index comes from
        elsewhere, and must not make the reader open ``../x`` or ``C:\\x``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, INDEX_NAME)
    ...     with open(path, "w") as file:
    ...         _ = file.write('{"weight_map": {"a": "model-00001-of-00001.safetensors"}}')
    ...     read_index(path)
    {'a': 'model-00001-of-00001.safetensors'}
    """
    where = shown(path)
    with open_regular(path) as (file, size):
        if size > safetensors_header.SIZE_LIMIT:
            raise CheckpointError(f"{where}: {size} bytes are too many for an index of shards")
        index = strict_json.parse(file.read(), f"{where}: the index")
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{where}: this JSON is no index of shards, it has no 'weight_map' object")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _is_plain(shard):
            raise CheckpointError(
                f"{where}: tensor {quoted(name)} is said to be in {quoted(shard)}; "
                "the plain name of a .safetensors file in the same folder was wanted"
            )
    return weight_map


def load_sharded(index_path: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load every tensor of the shards that an index names.

    Parameters
    ----------
    index_path : str or path-like
        The index file; the shards lie beside it.
    mmap : bool
        As for :func:`bert_numpy.checkpoints.safetensors.load_file`.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such index.
    CheckpointError
        If shards are missing, a shard is not a sound file, or index and shards disagree about a tensor.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_sharded({"a": np.zeros(2), "b": np.ones(2)}, folder, max_shard_size=16)
    ...     load_sharded(os.path.join(folder, INDEX_NAME), mmap=False)
    {'a': array([0., 0.]), 'b': array([1., 1.])}
    """
    where = shown(index_path)
    weight_map = read_index(index_path)
    folder = os.path.dirname(os.fspath(index_path))
    shards: dict[str, set[str]] = {}
    for name, shard in weight_map.items():
        shards.setdefault(shard, set()).add(name)
    if missing := [shard for shard in shards if not os.path.exists(os.path.join(folder, shard))]:
        raise CheckpointError(f"{where}: missing {len(missing)} of {len(shards)} shards: {listed(missing)}")

    tensors: dict[str, NDArray[Any]] = {}
    for shard, names in shards.items():
        found = safetensors.load_file(os.path.join(folder, shard), mmap=mmap)
        if absent := names - set(found):
            raise CheckpointError(f"{where}: {shard} lacks {listed(absent)}, placed there by the index")
        if unlisted := set(found) - names:
            raise CheckpointError(f"{where}: {shard} holds {listed(unlisted)}, not placed there by the index")
        tensors |= found
    return tensors


def save_sharded(
    tensors: Mapping[str, NDArray[Any]],
    folder: Path,
    max_shard_size: int = 5_000_000_000,
    metadata: Mapping[str, str] | None = safetensors.PYTORCH_METADATA,
    *,
    bfloat16: Iterable[str] = (),
) -> list[str]:
    """Write a checkpoint into ``folder``, split so that no shard's data exceeds ``max_shard_size`` bytes.

    Tensors keep their order; one that is too large by itself gets a shard of its own. What fits one shard
    becomes a plain ``model.safetensors`` without an index, as transformers does it. The index is written
    last, so an interrupted save is not taken for a checkpoint.

    Several files cannot be replaced in one step; a folder that already holds a checkpoint is therefore
    refused, rather than left for a moment with shards of two checkpoints.

    Parameters
    ----------
    tensors, metadata, bfloat16
        As for :func:`bert_numpy.checkpoints.safetensors.save_file`.
    folder : str or path-like
        Must exist.
    max_shard_size : int
        In bytes, at least 1.

    Returns
    -------
    list of str
        The names of the files written, in order.

    Raises
    ------
    CheckpointError
        If the folder holds a checkpoint already, or something cannot be stored or written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_sharded({"a": np.zeros(2), "b": np.zeros(2)}, folder, max_shard_size=16)
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json']
    """
    narrowed = frozenset(bfloat16)
    dtypes = safetensors_header.layout(tensors, narrowed, shown(folder))
    sizes = {name: safetensors_header.stored_size(array, dtypes[name]) for name, array in tensors.items()}
    groups = _split(sizes, max_shard_size)
    if len(groups) <= 1:
        safetensors.save_file(tensors, os.path.join(folder, SINGLE_NAME), metadata, bfloat16=narrowed)
        return [SINGLE_NAME]
    for existing in (SINGLE_NAME, INDEX_NAME):
        if os.path.lexists(os.path.join(folder, existing)):
            raise CheckpointError(f"{shown(folder)}: {existing} is there already; choose a folder without it")

    count = len(groups)
    shards = {f"model-{k:05d}-of-{count:05d}.safetensors": names for k, names in enumerate(groups, start=1)}
    totals = {"total_parameters": sum(a.size for a in tensors.values()), "total_size": sum(sizes.values())}
    weight_map = {name: shard for shard, names in shards.items() for name in names}
    index = {"metadata": totals, "weight_map": dict(sorted(weight_map.items()))}
    try:
        for shard, names in shards.items():
            part = {name: tensors[name] for name in names}
            path = os.path.join(folder, shard)
            safetensors.save_file(part, path, metadata, bfloat16=narrowed.intersection(names))
        with replacing(os.path.join(folder, INDEX_NAME)) as file:
            file.write((json.dumps(index, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))
    except BaseException:
        for shard in shards:
            with suppress(OSError):
                os.unlink(os.path.join(folder, shard))
        raise
    return [*shards, INDEX_NAME]


def _split(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Fill one group after the other, in order, up to ``limit`` bytes each."""
    if limit < 1:
        raise CheckpointError(f"max_shard_size must be at least 1 byte, found {limit}")
    groups: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size
    return groups


def _is_plain(name: str) -> bool:
    """Whether this is a bare file name on every system: no folder of either slash, and no drive."""
    return name.endswith(".safetensors") and name.isprintable() and not set("/\\:").intersection(name)
