"""TensorFlow's checkpoints, in which Google published BERT, read without TensorFlow: ``load_checkpoint``.

An index names every tensor, its dtype, shape, place and checksum; data files hold nothing but the numbers, in C
order. Every claim is checked before anything is allocated, and every tensor that is returned has been compared with
its checksum, which for BERT-base takes about a second.

The reading order of the parts: ``tensorflow_source`` finds the files, ``tensorflow_table`` splits the index
(``crc32c``, ``varint`` and ``snappy`` help), ``tensorflow_entries`` decodes it, and this file fetches the data. What
is not here: writing, the graph in ``.meta``, tensors of text, and what the names mean. Read next:
``tensorflow_names.py``.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import bfloat16 as bf16
from . import tensorflow_entries, tensorflow_source, tensorflow_table
from .crc32c import crc32c, masked
from .errors import CheckpointError, quoted
from .files import Path
from .tensorflow_entries import BFLOAT16, NUMPY_CODES, STRING, Entry, Header, slice_key
from .tensorflow_source import Data, Source

# What optimizers keep for every weight, three times the size of the model: of no use without their program.
_SLOTS = ("/adam_m", "/adam_v", "/lamb_m", "/lamb_v", "/Adam", "/Adam_1")
_COUNTERS = ("global_step", "beta1_power", "beta2_power")


def load_checkpoint(path: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load the weights of a TensorFlow checkpoint under the names that are stored in it.

    Left out are what the optimizer kept (``…/adam_m``, ``…/adam_v``, ``global_step`` and their like) and tensors of
    text. The parts of a partitioned variable are joined; bfloat16 becomes float32, exactly. Where the weights
    are those of a BERT, :func:`bert_numpy.checkpoints.tensorflow_names.to_published` gives them today's names.

    Parameters
    ----------
    path : str or path-like
        Any of the following.

        - The prefix, what the names of all files of the checkpoint begin with: ``…/bert_model.ckpt``.
        - The index, ``…/bert_model.ckpt.index``.
        - A folder with one checkpoint, or with several of which a file ``checkpoint`` names one.
        - A zip archive with the same content, for example ``uncased_L-12_H-768_A-12.zip`` as it was downloaded.
    mmap : bool
        As for :func:`bert_numpy.checkpoints.safetensors.load_file`. Only partitioned, bfloat16, misaligned and
        byte-swapped tensors are copied. Archives are always read into memory.

    Returns
    -------
    dict of str to ndarray
        Writable, in the order of the names.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such checkpoint, or one of its files is missing.
    CheckpointError
        If the path is another part of a checkpoint, or the checkpoint is damaged in any way.

    Examples
    --------
    >>> load_checkpoint("bert_model.ckpt.data-00000-of-00001")
    Traceback (most recent call last):
    bert_numpy.checkpoints.errors.CheckpointError: bert_model.ckpt.data-00000-of-00001: this is only a part of
    a TensorFlow checkpoint; pass what all its files begin with: bert_model.ckpt
    """
    with tensorflow_source.opened(path) as source:
        header, entries = _read_index(source)
        parts, named = _sort_out(entries, source.where)
        wanted = {name: entry for name, entry in named.items() if not _is_skipped(name, entry)}
        used = {part.shard for name in wanted for part in parts.get(name, [wanted[name]])}
        _check_places(entries, used, header, source)
        shards = {shard: source.data(_suffix(shard, header), mmap) for shard in sorted(used)}
    order = ">" if header.big_endian else "<"
    tensors = {}
    for name, entry in wanted.items():
        where = f"{source.where}: tensor {quoted(name)}"
        if name in parts:
            tensors[name] = _joined(entry, parts[name], shards, order, where)
        else:
            tensors[name] = _array(entry, shards[entry.shard], order, where)
    return tensors


def read_companion(path: Path, name: str) -> bytes:
    """Return the bytes of a small file beside a checkpoint, in the same folder or archive.

    Parameters
    ----------
    path : str or path-like
        As for :func:`load_checkpoint`.
    name : str
        For example ``bert_config.json`` or ``vocab.txt``.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such checkpoint, or no such file.
    CheckpointError
        If the name is more than a name, the file is implausibly large, or the archive is damaged.
    """
    if set("/\\:\0").intersection(name) or name in ("", ".", ".."):
        raise CheckpointError(f"{quoted(name)} is not the plain name of a file")
    with tensorflow_source.opened(path) as source:
        return source.companion(name)


def _read_index(source: Source) -> tuple[Header, dict[bytes, Entry]]:
    where = f"{source.where}{tensorflow_source.INDEX}"
    table = tensorflow_table.read_table(source.index(tensorflow_table.SIZE_LIMIT), where)
    if b"" not in table:
        raise CheckpointError(f"{where}: the table has no header; it is not the index of a checkpoint")
    header = tensorflow_entries.parse_header(table.pop(b""), where)
    entries = {
        key: tensorflow_entries.parse_entry(value, f"{where}: entry {quoted(key.decode('utf-8', 'replace'))}")
        for key, value in table.items()
    }
    for key, entry in entries.items():
        if entry.shard >= header.shards:
            raise CheckpointError(
                f"{where}: {quoted(key.decode('utf-8', 'replace'))} is said to be in data file {entry.shard}, "
                f"counted from 0, of {header.shards}"
            )
    return header, entries


def _sort_out(entries: Mapping[bytes, Entry], where: str) -> tuple[dict[str, list[Entry]], dict[str, Entry]]:
    """Separate the variables, which have names, from the parts of partitioned ones, which have keys of their own.

    Returns
    -------
    parts : dict of str to list of Entry
        For each partitioned variable, in the order of its slices.
    named : dict of str to Entry
        All variables.
    """
    parts: dict[str, list[Entry]] = {}
    named: dict[str, Entry] = {}
    unclaimed = {key for key in entries if key.startswith(b"\0")}
    for key, entry in entries.items():
        if key.startswith(b"\0"):
            continue
        try:
            name = key.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{where}: the name {quoted(key)} is not UTF-8") from error
        named[name] = entry
        if entry.slices:
            parts[name] = _parts(name, entry, entries, f"{where}: tensor {quoted(name)}")
            unclaimed.difference_update(slice_key(name, extents) for extents in entry.slices)
    if unclaimed:
        raise CheckpointError(f"{where}: {quoted(min(unclaimed))} is a part of no variable of this checkpoint")
    return parts, named


def _parts(name: str, entry: Entry, entries: Mapping[bytes, Entry], where: str) -> list[Entry]:
    """Find the parts of a variable and check that they cover it exactly."""
    found = []
    starts = np.zeros((len(entry.slices), len(entry.shape)), np.int64)
    stops = np.zeros_like(starts)
    for k, extents in enumerate(entry.slices):
        places = _places(entry, k)
        starts[k] = [place.start for place in places]
        stops[k] = [place.stop for place in places]
        shape = tuple(place.stop - place.start for place in places)
        part = entries.get(slice_key(name, extents))
        if part is None:
            raise CheckpointError(f"{where} lacks its part {quoted(extents)}")
        if (part.dtype, part.shape, part.slices) != (entry.dtype, shape, ()):
            raise CheckpointError(
                f"{where}: the part {quoted(extents)} is dtype {part.dtype} of shape {quoted(part.shape)}, "
                f"dtype {entry.dtype} of shape {quoted(shape)} was wanted"
            )
        if math.prod(shape) and np.any(np.all((starts[:k] < stops[k]) & (starts[k] < stops[:k]), axis=1)):
            raise CheckpointError(f"{where}: the part {quoted(extents)} overlaps another")
        found.append(part)
    covered = sum(math.prod(part.shape) for part in found)
    if covered != math.prod(entry.shape):
        raise CheckpointError(f"{where}: its parts hold {covered} of its {math.prod(entry.shape)} numbers")
    return found


def _places(entry: Entry, k: int) -> tuple[slice, ...]:
    """Where the part ``k`` of a variable stands in it."""
    return tuple(
        slice(start, size if length is None else start + length)
        for (start, length), size in zip(entry.slices[k], entry.shape, strict=True)
    )


def _is_skipped(name: str, entry: Entry) -> bool:
    return entry.dtype == STRING or name in _COUNTERS or name.endswith(_SLOTS)


def _check_places(entries: Mapping[bytes, Entry], used: Iterable[int], header: Header, source: Source) -> None:
    """In every data file that is used, all entries must lie inside the file, none over another.

    Bytes between entries are allowed, since writers may align the data. So memory cannot exceed what is on the disk.
    """
    places: dict[int, list[tuple[int, int, bytes]]] = {shard: [] for shard in used}
    for key, entry in entries.items():
        if entry.shard in places and entry.size:
            places[entry.shard].append((entry.offset, entry.end, key))
    for shard, found in places.items():
        where = f"{source.where}{_suffix(shard, header)}"
        size = source.size(_suffix(shard, header))
        position = 0
        for offset, end, key in sorted(found):
            tensor = f"{where}: {quoted(key.decode('utf-8', 'replace'))}"
            if offset < position:
                raise CheckpointError(f"{tensor} begins at byte {offset}, but another tensor ends at {position}")
            if end > size:
                raise CheckpointError(
                    f"{tensor} ends at byte {end}, but the file has only {size}; it is cut off, download it again"
                )
            position = end


def _suffix(shard: int, header: Header) -> str:
    return f".data-{shard:05d}-of-{header.shards:05d}"


def _joined(entry: Entry, parts: list[Entry], shards: Mapping[int, Data], order: str, where: str) -> NDArray[Any]:
    arrays = [_array(part, shards[part.shard], order, where) for part in parts]
    whole = np.empty(entry.shape, arrays[0].dtype)
    for k, array in enumerate(arrays):
        whole[_places(entry, k)] = array
    return whole


def _array(entry: Entry, data: Data, order: str, where: str) -> NDArray[Any]:
    """Check one tensor and return it: over the data where it is aligned and in native order, else as a copy."""
    stored = np.frombuffer(data, np.uint8, entry.size, entry.offset) if entry.size else np.zeros(0, np.uint8)
    if masked(crc32c(stored)) != entry.checksum:
        raise CheckpointError(f"{where} does not have its checksum; the data file is damaged, download it again")
    code = NUMPY_CODES[entry.dtype]
    if code == "?" and stored.max(initial=0) > 1:
        raise CheckpointError(f"{where} is a boolean, but holds bytes other than 0 and 1")
    array = stored.view(order + code).reshape(entry.shape)
    if not array.flags.aligned:
        array = array.copy()
    array = array.astype(code, copy=False)
    return bf16.widen(array) if entry.dtype == BFLOAT16 else array
