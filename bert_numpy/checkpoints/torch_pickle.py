"""The weight files that PyTorch writes, read without PyTorch and without running what they contain.

``torch.save`` has written two forms, and both are read here. Since PyTorch 1.6 a file is a zip archive::

    archive/data.pkl       a pickle: names, shapes, strides, and for each tensor the key of its storage
    archive/data/<key>     the bytes of one storage
    archive/byteorder      "little" or "big"; older files lack it and are little-endian

Before, it was one stream, which every ``pytorch_model.bin`` of 2018 and 2019 is::

    five pickles           a magic number, 1001, facts about the machine, the object, the storage keys in order
    for each key           8 bytes, the number of elements; then the elements, always little-endian

A pickle can do anything on whatever machine opens it. ``restricted_pickle.py`` therefore reads it with the
closed list of names in ``torch_tensors.py``, which are tensors, storages and ordered dicts alone; whatever
else a file asks for is refused. Every number that a file states is compared with the size of the file before
memory is allocated.

What is not here: writing, because safetensors is the better format; the names of the weights, ``module.``
and ``gamma`` included (``key_mapping.py``); whole modules, TorchScript archives and the tar files of PyTorch
0.1, which are refused. Read next: ``key_mapping.py``.
"""

import io
import math
import mmap as memory_map
from collections.abc import Callable
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import bfloat16, restricted_pickle, sniffing, zip_records
from .errors import CheckpointError, listed, quoted
from .files import Path, open_regular, shown
from .restricted_pickle import brief
from .torch_tensors import NAMES, DType, References, Tensor

__all__ = ["MODEL_KEYS", "load_file"]

MODEL_KEYS = ("state_dict", "model_state_dict", "model", "module")
"""Where training scripts keep the state dict of the model, in the order in which ``load_file`` looks."""

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MOST_NESTED = 16  # dicts inside dicts: {"model": {"state_dict": ...}}
_MOST_DIMENSIONS = 32  # what every NumPy this package supports can hold
_LARGEST = 2**63 - 1

# What decompressing, widening and byte-swapping may allocate: more than any checkpoint needs, and no bomb.
_MOST_GROWTH = 8
_ALWAYS_ALLOWED = 64 << 20


def load_file(path: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load the tensors of a file that ``torch.save`` wrote, in its zip form or the older stream form.

    If the file holds a training checkpoint, that is a dict with one of :data:`MODEL_KEYS` that is a dict of
    tensors, these tensors are returned and the rest is ignored. In a state dict, values that are not tensors
    (step counters, lists, settings) are ignored. Names come back as they are. bfloat16 tensors come back as
    float32, exactly; every other dtype as it is stored, in the byte order of this machine.

    Parameters
    ----------
    path : str or path-like
    mmap : bool
        Map the file instead of reading it, as :func:`bert_numpy.checkpoints.safetensors.load_file` does: the
        arrays are writable, and writing never changes the file. Storages that are compressed, bfloat16,
        big-endian or misaligned (in the stream form most are) are copied at once, and only those. With
        ``mmap=False`` every storage is read into memory of its own.

    Returns
    -------
    dict of str to ndarray
        In the order of the state dict. Tensors that share a storage in the file share memory: a tied weight is
        one array under two names. Views keep their strides; a view that meets an element twice is copied.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If it is no regular file, of another kind, or damaged; if its pickle asks for a name that tensors do not
        need, which the message gives; if it holds no state dict, no tensor, or one that NumPy cannot represent.

    Examples
    --------
    >>> import os, tempfile, zipfile
    >>> pkl = (  # what torch.save writes for {"a": torch.arange(6.).reshape(2, 3)}; pickletools.dis explains it
    ...     b"\\x80\\x02}X\\1\\0\\0\\0actorch._utils\\n_rebuild_tensor_v2\\n("
    ...     b"(X\\7\\0\\0\\0storagectorch\\nFloatStorage\\nX\\1\\0\\0\\x000X\\3\\0\\0\\0cpuK\\6tQ"
    ...     b"K\\0K\\2K\\3\\x86K\\3K\\1\\x86\\x89ccollections\\nOrderedDict\\n)RtRs."
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "pytorch_model.bin")
    ...     with zipfile.ZipFile(path, "w") as archive:
    ...         archive.writestr("archive/data.pkl", pkl)
    ...         archive.writestr("archive/data/0", np.arange(6, dtype="<f4").tobytes())
    ...     load_file(path, mmap=False)
    {'a': array([[0., 1., 2.],
           [3., 4., 5.]], dtype=float32)}
    """
    where = shown(path)
    with open_regular(path) as (file, size):
        kind = sniffing.recognise(file, size)
        source = _Source(file, size, mmap, where)
        if kind is sniffing.TORCH_ZIP:
            state = _read_zip(source)
        elif kind is sniffing.TORCH_LEGACY:
            state = _read_stream(source)
        else:
            remedy = "" if kind is sniffing.UNKNOWN else f"; {kind.remedy}"
            raise CheckpointError(f"{where}: this is {kind.description}, a file of torch.save was wanted{remedy}")
        tensors = _state_dict(state, where)
        return {name: _array(source, tensor, f"{where}: tensor {quoted(name)}") for name, tensor in tensors.items()}


class _Source:
    """An open file, the place of each storage in it, and the storages that have been read."""

    def __init__(self, file: BufferedReader, size: int, mmap: bool, where: str) -> None:
        self.file = file
        self.size = size
        self.where = where
        self.mmap = mmap
        self.byte_order = "<"
        self.places: dict[str, zip_records.Record] = {}
        self.allowance = _MOST_GROWTH * size + _ALWAYS_ALLOWED
        self._map: memory_map.mmap | None = None
        self._storages: dict[tuple[str, DType], NDArray[Any]] = {}

    def storage(self, key: str, dtype: DType) -> NDArray[Any]:
        """The whole storage as a writable, aligned array of one dimension; the same array every time."""
        if (key, dtype) not in self._storages:
            self._storages[key, dtype] = self._load(self.places[key], dtype)
        return self._storages[key, dtype]

    def spend(self, count: int, what: str) -> None:
        """Account for ``count`` new bytes, before they are allocated."""
        self.allowance -= count
        if self.allowance < 0:
            raise CheckpointError(
                f"{what} would bring the memory taken to more than {_MOST_GROWTH} times the file's {self.size} "
                "bytes; no checkpoint grows like this"
            )

    def read(self, place: zip_records.Record) -> NDArray[np.uint8]:
        """The bytes of a record in memory of their own."""
        self.spend(place.size, f"{self.where}: {quoted(place.name)}")
        if place.method != zip_records.STORED:
            return zip_records.decompress(self.file, place, self.where)
        data = np.empty(place.size, np.uint8)
        self.file.seek(place.start)
        if self.file.readinto(data.data) != place.size:
            raise CheckpointError(f"{self.where}: the file changed its size while it was read")
        return data

    def _load(self, place: zip_records.Record, dtype: DType) -> NDArray[Any]:
        stored = np.dtype(self.byte_order + dtype.code)
        count = place.size // stored.itemsize
        if self.mmap and place.method == zip_records.STORED and place.start % stored.alignment == 0:
            array = np.frombuffer(self._mapped(), stored, count, place.start)
        else:
            array = self.read(place)[: count * stored.itemsize].view(stored)
        if dtype.code == "?" and array.view(np.uint8).max(initial=0) > 1:  # here, because many tensors may share it
            raise CheckpointError(
                f"{self.where}: {quoted(place.name)} is {dtype.name}, but holds other bytes than 0 and 1"
            )
        if not stored.isnative:
            self.spend(array.nbytes, f"{self.where}: {quoted(place.name)}")
            array = array.astype(stored.newbyteorder("="))
        if dtype.is_bfloat16:
            self.spend(2 * array.nbytes, f"{self.where}: {quoted(place.name)}")
            array = bfloat16.widen(array)
        return array

    def _mapped(self) -> memory_map.mmap:
        """The whole file, copy-on-write, which is what makes the arrays writable. They keep the mapping alive."""
        if self._map is None:
            try:
                self._map = memory_map.mmap(self.file.fileno(), self.size, access=memory_map.ACCESS_COPY)
            except ValueError as error:
                raise CheckpointError(f"{self.where}: the file changed its size while it was read") from error
        return self._map


def _read_zip(source: _Source) -> Any:
    where = source.where
    records = zip_records.read_directory(source.file, source.size, where)
    pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in records):
        raise CheckpointError(f"{where}: this is a TorchScript archive, a program; save the state_dict instead")
    if len(pickles) != 1:
        found = f"it holds {listed(records)}" if records else "it is empty"
        raise CheckpointError(
            f"{where}: this zip archive is not one of torch.save, which has one folder with data.pkl in it; {found}"
        )
    root = pickles[0].removesuffix("data.pkl")
    if order := records.get(root + "byteorder"):
        text = source.read(order).tobytes() if order.size <= 6 else b"?"
        if text not in (b"little", b"big"):
            raise CheckpointError(f"{where}: byteorder must be little or big, found {quoted(text)}")
        source.byte_order = ">" if text == b"big" else "<"
    program = records[pickles[0]]
    if program.size > restricted_pickle.MOST_BYTES:
        raise CheckpointError(f"{where}: data.pkl has {program.size} bytes, which is no description of weights")

    references = References(5)
    file = io.BytesIO(source.read(program).tobytes())
    state = restricted_pickle.load(file, program.size, NAMES, where, references.load)
    if rest := program.size - file.tell():
        raise CheckpointError(f"{where}: {rest} bytes follow the pickle in data.pkl")
    for key, (dtype, count) in references.found.items():
        place = records.get(f"{root}data/{key}")
        if place is None:
            raise CheckpointError(f"{where}: storage {quoted(key)} is not in the archive")
        if place.size != count * dtype.itemsize:
            raise CheckpointError(
                f"{where}: storage {quoted(key)} should have {count * dtype.itemsize} bytes "
                f"({count} of {dtype.name}), but its record has {place.size}"
            )
        source.places[key] = place
    return state


def _read_stream(source: _Source) -> Any:
    file, size, where = source.file, source.size, source.where
    references = References(6)

    def unpickled(persistent_load: Callable[[Any], Any] | None = None) -> Any:
        return restricted_pickle.load(file, size - file.tell(), NAMES, where, persistent_load)

    if unpickled() != _MAGIC:
        raise CheckpointError(
            f"{where}: this is a pickle, but torch.save did not write it: the magic number is missing"
        )
    if (protocol := unpickled()) != _PROTOCOL:
        raise CheckpointError(f"{where}: the stream has version {brief(protocol)}, {_PROTOCOL} was wanted")
    unpickled()  # about the machine that wrote it; the data are little-endian whatever it says
    state = unpickled(references.load)
    keys = unpickled()
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise CheckpointError(f"{where}: a list of storage keys was wanted, found {brief(keys)}")
    if len(set(keys)) != len(keys) or set(keys) != set(references.found):
        odd = listed(set(keys).symmetric_difference(references.found)) or "one of them twice"
        raise CheckpointError(f"{where}: the stream and its tensors name different storages: {odd}")

    at = file.tell()
    for key in keys:
        dtype, count = references.found[key]
        file.seek(at)
        stated = int.from_bytes(file.read(8), "little", signed=True) if size - at >= 8 else None
        if stated is None or count * dtype.itemsize > size - at - 8:
            raise CheckpointError(
                f"{where}: storage {quoted(key)} should have {count * dtype.itemsize} bytes ({count} of {dtype.name}), "
                f"but only {max(0, size - at - 8)} are left; the file is cut off, download it again"
            )
        if stated != count:
            raise CheckpointError(f"{where}: storage {quoted(key)} has {stated} elements, its tensors say {count}")
        length = count * dtype.itemsize
        source.places[key] = zip_records.Record(key, zip_records.STORED, at + 8, length, length, 0)
        at += 8 + length
    if at != size:
        raise CheckpointError(f"{where}: {size - at} bytes follow the last storage")
    return state


def _state_dict(state: Any, where: str) -> dict[str, Tensor]:
    """The tensors of the model in what was saved."""
    if not isinstance(state, dict):
        raise CheckpointError(f"{where}: a dict of tensors was wanted, found {brief(state)}; save the state_dict")
    tensors = _model_tensors(state, set())
    if not tensors:
        found = f"it has the keys {listed(map(str, state))}" if state else "it is empty"
        raise CheckpointError(
            f"{where}: no tensors, neither in the dict that was saved nor under {', '.join(MODEL_KEYS)}; {found}"
        )
    for name in tensors:
        if not isinstance(name, str):
            raise CheckpointError(f"{where}: a tensor has the name {name}, text was wanted")
    return tensors


def _model_tensors(state: dict[Any, Any], seen: set[int]) -> dict[Any, Tensor]:
    """From the innermost dict of the model; the random state of a training script is a tensor, too."""
    seen.add(id(state))  # a pickle can describe a dict that contains itself
    for key in MODEL_KEYS:
        inner = state.get(key)
        if not isinstance(inner, dict) or id(inner) in seen or len(seen) >= _MOST_NESTED:
            continue
        if found := _model_tensors(inner, seen):
            return found
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _array(source: _Source, tensor: Tensor, what: str) -> NDArray[Any]:
    """Check the place of a tensor in its storage, and return it as a view of the storage where that is safe."""
    storage, dtype, offset, shape, strides = (
        tensor.storage, tensor.dtype, tensor.offset, tensor.shape, tensor.strides)  # fmt: skip
    if not dtype.code:
        raise CheckpointError(f"{what} is {dtype.name}, which NumPy lacks; convert it to torch.float32")
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise CheckpointError(f"{what} must have sizes and as many strides, found {brief(shape)}, {brief(strides)}")
    if len(shape) > _MOST_DIMENSIONS:
        raise CheckpointError(f"{what} has {len(shape)} dimensions, at most {_MOST_DIMENSIONS} were wanted")
    if not all(type(number) is int and 0 <= number <= _LARGEST for number in (offset, *shape, *strides)):
        raise CheckpointError(
            f"{what} must have integers from 0 to 2**63-1 as offset, sizes and strides, "
            f"found {brief(offset)}, {brief(shape)}, {brief(strides)}"
        )
    if math.prod(max(1, length) for length in shape) * 16 > _LARGEST:  # 16 bytes have the widest elements
        raise CheckpointError(f"{what}: the sizes {brief(shape)} are too large")
    if 0 in shape:
        return np.zeros(shape, np.float32 if dtype.is_bfloat16 else dtype.code)
    count = storage.count * storage.dtype.itemsize // dtype.itemsize
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if last >= count:
        raise CheckpointError(f"{what} of shape {brief(shape)} reaches element {last} of a storage that has {count}")

    elements = source.storage(storage.key, dtype)[storage.start : storage.start + count]
    steps = [stride if length > 1 else 1 for length, stride in zip(shape, strides, strict=True)]
    array: NDArray[Any] = np.ndarray(
        shape, elements.dtype, elements, offset * elements.itemsize, [step * elements.itemsize for step in steps]
    )
    if _meets_itself(shape, steps):
        source.spend(array.nbytes, what)
        array = array.copy()
    return array


def _meets_itself(shape: tuple[int, ...], steps: list[int]) -> bool:
    """Whether two indices may lead to the same element, so that updating the array in place would go wrong."""
    reach = 0
    for step, length in sorted(zip(steps, shape, strict=True)):
        if length > 1:
            if step <= reach:
                return True
            reach += step * (length - 1)
    return False
