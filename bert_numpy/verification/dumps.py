"""Read what a port computed: tensors by name, from a file of any form that is easy to write.

    safetensors      names -> tensors; bfloat16 and float16 too
    npz              names -> arrays
    JSON             {"tensors": {name: {"file": "q.bin", "dtype": "float32", "shape": [2, 7, 32], "offset": 0}}}:
                     raw little-endian numbers in files beside it, from a language that has none of the above
    torch.save       a dictionary of tensors

A dump holds `input_ids`, `attention_mask`, `token_type_ids` (and labels, if there are gradients of a loss), and taps
under any name that `names.py` understands.  Several cases go into one file with `CASE/` in front of every name;
`inputs/` and `taps/` may stand between.

Here: files, and which name means what.  Not here: whether the numbers are right (`comparison.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import CheckpointError, CheckpointNotFoundError, safetensors, sniffing, strict_json
from ..checkpoints.bfloat16 import widen
from ..checkpoints.files import open_regular, shown
from ..checkpoints.loading import load_file
from ..models.inputs import as_ids
from .evaluation import GRADIENT, INPUTS
from .names import Names, is_step_in_between
from .reference import Reference
from .report import NOT_COMPARED

GROUPS = ("inputs/", "taps/", "outputs/")
RAW_DTYPES = {
    **{f"{kind}{bits}": f"<{kind[0]}{bits // 8}" for kind, sizes in (("float", (16, 32, 64)),) for bits in sizes},
    **{f"int{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    "bfloat16": "<u2",
    "bool": "|b1",
}
"""What a JSON manifest may say of a raw file."""

ACCEPTED = (
    "a dump is a file of safetensors or np.savez, JSON (.json) that lists raw files, or a dictionary of tensors that "
    "torch.save wrote"
)
OF_TORCH = (
    "save {name: tensor} and nothing else, with safetensors.torch.save_file(taps, 'port.safetensors') or "
    "np.savez('port.npz', **{name: tensor.detach().float().numpy() for name, tensor in taps.items()})"
)
"""What to do instead of a pickle."""

MANY_UNKNOWN = 4
"""From so many names on that mean nothing, it is said how they can be given a meaning."""

MAX_GRAD_NORM = "max_grad_norm"
"""A number that a dump may hold: its gradients of parameters were clipped to this norm."""


@dataclass
class Case:
    """One batch of a dump, with the names of this package.

    Attributes
    ----------
    name : str
        "" if the dump holds one case only.
    inputs : dict of str to integer array
    tensors : dict of str to array
        Taps and gradients, by their names here.
    written : dict of str to str
        Their names in the dump.
    problems : list of str
        What should be comparable and is not, one line each.
    notes : list of str
        What is not compared, and no fault.
    unknown : list of str
        Names that mean nothing here.
    max_grad_norm : float, optional
        What the gradients of parameters were clipped to.
    """

    name: str
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    max_grad_norm: float | None = None


@dataclass
class Dump:
    """The tensors of a file by the names in it, and what it says of itself."""

    source: str
    tensors: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_dump(path: str | Path) -> Dump:
    """Read the tensors of a dump.

    Raises
    ------
    FileNotFoundError, ValueError
        In one line: the file, what is wrong with it, and what is wanted.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file {shown(path)}")
    if path.is_dir():
        raise ValueError(f"{shown(path)} is a folder; name the file with the tensors, or the JSON that lists them")
    if path.suffix == ".json":
        return _read_json(path)
    if path.suffix in (".npz", ".npy"):
        return _read_npz(path)
    metadata = safetensors.read_header(path).metadata if path.suffix == ".safetensors" else {}
    if metadata.get("manifest", "").startswith('{"format": "bert-numpy goldens'):
        raise ValueError(f"{shown(path)} holds goldens, which the reference computed; give what the port computed")
    return Dump(shown(path), _load(path), metadata)


def cases_of(dump: Dump, names: Names, reference: Reference) -> list[Case]:
    """The cases of a dump, each tensor under the name that it has here.

    Parameters
    ----------
    dump : Dump
    names : Names
    reference : Reference
        Says how many ids and labels of each kind there are: numbers beyond are refused.

    Raises
    ------
    ValueError
        If no case has `input_ids`, inputs do not fit the model, or a name of one's own stands for nothing.
    """
    _check_names(names)
    prefixes = _prefixes(dump, names)
    cases = {prefix: Case(shown(prefix.removesuffix("/")) if prefix else "") for prefix in prefixes}
    longest_first = sorted(prefixes, key=len, reverse=True)
    there: list[str] = []
    for name, array in dump.tensors.items():
        prefix = next((prefix for prefix in longest_first if name.startswith(prefix)), None)
        if prefix is None:
            known = ", ".join(map(shown, prefixes[:4])) + (", ..." if len(prefixes) > 4 else "")
            cases[prefixes[0]].problems.append(f"{shown(name)}: belongs to no case; there are {known}")
        else:
            there.append(_called(name, prefix, names))
            _sort_in(cases[prefix], name, there[-1], array, names)
    cases[prefixes[0]].problems += _not_there(there, names, names.renamed)
    for case in cases.values():
        if len(case.unknown) >= MANY_UNKNOWN or (case.unknown and not case.tensors):
            case.notes.insert(0, _how_to_map(case.unknown, names))
            break
    for case in cases.values():
        where = f"{dump.source}: " + (f"case {case.name}: " if case.name else "")
        try:
            _check_inputs(case, reference)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}{error}") from None
    return list(cases.values())


def _check_names(names: Names) -> None:
    """Refuse a name of one's own that stands for nothing that the model has."""
    for old, new in names.renamed.items():
        if names.canonical(old) is None and names.stacked(old) is None:
            near = names.nearest(old)
            hint = f"; did you mean {near}?" if near else ""
            raise ValueError(f"{shown(old)} is renamed to {shown(new)}, which is no tap of this model{hint}")


def _prefixes(dump: Dump, names: Names) -> list[str]:
    """What stands in front of the names of each case: a case is where there are input_ids."""
    own = [old for old, new in names.renamed.items() if new == "input_ids"]
    ids = ["input_ids", *own]
    prefixes = list(dict.fromkeys(_prefix(name, end) for name in dump.tensors for end in ids if _ends_with(name, end)))
    if not prefixes and own:
        raise ValueError(f"{dump.source} holds no input_ids: {_not_there(dump.tensors, names, own)[0]}")
    if not prefixes:
        raise ValueError(
            f"{dump.source} holds no input_ids, without which nothing can be computed; "
            "write the inputs of the run beside its tensors, or, if they have another name there, "
            'say so in a file for --map: {"my_ids": "input_ids"}'
        )
    return prefixes


def _called(written: str, prefix: str, names: Names) -> str:
    """The name of a tensor without its case and its group; with them, if a name of one's own has them."""
    in_case = written.removeprefix(prefix)
    name = in_case
    for group in GROUPS:
        name = name.removeprefix(group)
    return next((full for full in (written, in_case) if names.own(full)), name)


def _not_there(there: Iterable[str], names: Names, wanted: Iterable[str]) -> list[str]:
    """A line for each name of one's own that is not in the dump, with the name there that comes nearest."""
    used = {own for name in there for own in names.own(name)}
    free = [name for name in there if not names.own(name)]
    lines = []
    for old in wanted:
        if old not in used:
            near = get_close_matches(old, free, n=1)
            hint = f"; did you mean {shown(near[0])}?" if near else ""
            lines.append(f"{shown(old)} is renamed to {shown(names.renamed[old])}, and not in the dump{hint}")
    return lines


def _how_to_map(unknown: list[str], names: Names) -> str:
    """What to do about many names that mean nothing, with one of them as an example."""
    example = next((name for name in unknown if names.nearest(name)), unknown[0])
    meaning = names.nearest(example) or "encoder.layer.0.output"
    return (
        f"{len(unknown)} {'names mean' if len(unknown) > 1 else 'name means'} nothing here; "
        f"say what {'they are' if len(unknown) > 1 else 'it is'} in a JSON file for --map: "
        f"{json.dumps({example: meaning})}"
    )


def _ends_with(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f"/{wanted}")


def _prefix(name: str, end: str) -> str:
    return name.removesuffix(end).removesuffix("inputs/")


def _sort_in(case: Case, written: str, name: str, array: np.ndarray, names: Names) -> None:
    """Put one tensor of the dump where it belongs in its case."""
    array, written = np.asarray(array), shown(written)
    meaning, stacked = names.canonical(name), names.stacked(name)
    if name == MAX_GRAD_NORM:
        _set_norm(case, written, array)
    elif stacked is not None:
        _take_apart(case, written, stacked, array)
    elif meaning is None:
        near = names.nearest(name)
        if not is_step_in_between(name):
            case.unknown.append(name)
        case.notes.append(
            f"{NOT_COMPARED}: {written} is no tap of this model" + (f"; did you mean {near}?" if near else "")
        )
    elif meaning in INPUTS:
        if meaning in case.inputs and not np.array_equal(array, case.inputs[meaning]):
            case.problems.append(f"{written}: stands for {meaning}, which is there with other numbers; keep one")
        case.inputs.setdefault(meaning, array)
    elif meaning.endswith((".weight", ".bias")) and not meaning.startswith(GRADIENT):
        case.notes.append(f"{NOT_COMPARED}: {written} is a parameter; its gradient would be named d {meaning}")
    elif _holds_numbers(case, written, array):
        _keep(case, written, meaning, array)


def _set_norm(case: Case, written: str, array: np.ndarray) -> None:
    if array.size == 1 and array.dtype.kind in "iuf" and float(array.reshape(())) > 0:
        case.max_grad_norm = float(array.reshape(()))
    else:
        case.problems.append(f"{written}: expected one number above 0, the norm that gradients were clipped to")


def _take_apart(case: Case, written: str, meanings: list[str], array: np.ndarray) -> None:
    """The outputs of all layers, stacked in one array (`np.stack(outputs.hidden_states)`), one by one."""
    if not _holds_numbers(case, written, array):
        return
    if array.shape[:1] != (len(meanings),):
        with_embeddings = meanings[0].endswith("embeddings")
        layers = len(meanings) - with_embeddings
        case.problems.append(
            f"{written}: has shape {array.shape}, expected {len(meanings)} along the first axis: "
            + ("the embeddings and " if with_embeddings else "")
            + (f"{layers} layers" if layers != 1 else "1 layer")
        )
        return
    for i, meaning in enumerate(meanings):
        _keep(case, f"{written}[{i}]", meaning, array[i])


def _holds_numbers(case: Case, written: str, array: np.ndarray) -> bool:
    if array.dtype.kind in "iuf":
        return True
    case.problems.append(f"{written}: holds {array.dtype}, expected floating-point numbers")
    return False


def _keep(case: Case, written: str, meaning: str, array: np.ndarray) -> None:
    """A tensor that can be compared; what stands for the same must be the same."""
    if meaning in case.tensors:
        if not np.array_equal(array, case.tensors[meaning], equal_nan=True):  # two modules may have one output
            other = case.written[meaning]
            case.problems.append(f"{written}: stands for {meaning}, as {other} does, with other numbers; keep one")
    else:
        case.tensors[meaning] = array
        case.written[meaning] = written


def _check_inputs(case: Case, reference: Reference) -> None:
    """Inputs as integer arrays that the model takes, or an error that names the one that is not."""
    sizes, labels = reference.input_sizes, reference.labels
    for name in [name for name in case.inputs if name not in sizes and name not in labels]:
        case.notes.append(f"not used: {name}, of which {type(reference.model).__name__} makes no loss")
        del case.inputs[name]
    if "token_type_ids" not in case.inputs and sizes["token_type_ids"] > 1:
        case.notes.insert(0, "no token_type_ids: all 0 are assumed")
    for name, array in case.inputs.items():
        if name == "attention_mask" and not np.isin(array, (0, 1)).all():
            raise ValueError("attention_mask must hold only 1 (a token) and 0 (padding), not what is added to scores")
        if name in labels and labels[name].classes is None:
            case.inputs[name] = _as_numbers(name, array)
        elif name in labels:
            case.inputs[name] = as_ids(name, _whole(array), labels[name].classes or 0, "the model has", -100)
        else:
            case.inputs[name] = as_ids(name, _whole(array), sizes[name], "the model has")
    shape = case.inputs["input_ids"].shape
    if len(shape) == 1:
        for name, array in case.inputs.items():
            case.inputs[name] = array[None] if array.shape == shape else array
        shape = (1, *shape)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"input_ids has shape {shape}, expected (batch, sequence)")
    if shape[1] > sizes["position_ids"]:
        raise ValueError(f"input_ids has {shape[1]} positions, the model has {sizes['position_ids']}")
    for name, array in case.inputs.items():
        each = labels[name].each if name in labels else "token"
        _check_shape(name, array.shape, shape, each, reference.model.config.num_labels)


def _whole(array: np.ndarray) -> np.ndarray:
    """Truth values, and whole numbers of a runtime without integers, as integers."""
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind == "f" and array.size and np.abs(array).max() < 2**31 and (array == np.round(array)).all():
        return array.astype(np.int64)
    return array


def _as_numbers(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be numbers, and finite ones")
    return array


def _check_shape(name: str, found: tuple[int, ...], shape: tuple[int, int], each: str, num_labels: int) -> None:
    """A number for each token, sequence or logit; labels may have axes of length 1 more or less."""
    B, S = shape
    wanted: tuple[int, ...] = {"token": shape, "sequence": (B,), "logit": (B, num_labels)}[each]
    fits = found == wanted
    if each != "token":
        fits = [size for size in found if size != 1] == [size for size in wanted if size != 1]
    elif name == "position_ids":  # the same for the whole batch
        fits = found in ((S,), (1, S), shape)
    if not fits:
        raise ValueError(f"{name} has shape {found}, expected {wanted}: input_ids has {shape}")


# ---- files ------------------------------------------------------------------


def _load(path: Path) -> dict[str, np.ndarray]:
    """The tensors of safetensors or torch.save; of any other file it is said what a dump is."""
    try:
        return load_file(path)
    except CheckpointNotFoundError:
        raise
    except CheckpointError as error:
        with open_regular(path) as (file, size):
            kind = sniffing.recognise(file, size)
        if kind is sniffing.SAFETENSORS or path.suffix == ".safetensors":
            raise
        if kind in (sniffing.TORCH_ZIP, sniffing.TORCH_LEGACY, sniffing.TORCH_TAR):
            reason, *_ = str(error).split("; ")  # what follows is about checkpoints
            raise ValueError(f"{reason}; {OF_TORCH}") from None
        raise ValueError(f"{shown(path)}: this is {kind.description}, not a dump; {ACCEPTED}") from None


def _read_npz(path: Path) -> Dump:
    if path.suffix == ".npy":
        raise ValueError(f"{shown(path)}: holds one array without a name; np.savez('port.npz', **arrays) writes names")
    try:
        with open_regular(path) as (stream, _), np.load(stream, allow_pickle=False) as file:
            return Dump(shown(path), {name: file[name] for name in file.files})
    except Exception as error:  # zipfile, zlib and NumPy each have their own for a damaged file
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{shown(path)}: not what np.savez writes, damaged, or with objects inside ({said}); save arrays of numbers"
        ) from None


def _read_json(path: Path) -> Dump:
    """The raw files that a manifest lists."""
    with open_regular(path) as (file, _):
        manifest = strict_json.parse(file.read(), shown(path))
    entries = manifest.get("tensors") if isinstance(manifest, dict) else None
    if not isinstance(entries, dict):
        raise ValueError(f'{shown(path)}: expected {{"tensors": {{name: {{"file", "dtype", "shape"}}}}}}')
    tensors = {name: _read_raw(path, name, entry) for name, entry in entries.items()}
    return Dump(shown(path), tensors, {key: value for key, value in manifest.items() if key != "tensors"})


def _read_raw(path: Path, name: str, entry: Any) -> np.ndarray:
    where = f"{shown(path)}: {shown(name)}"
    if not isinstance(entry, dict) or not {"file", "dtype", "shape"} <= entry.keys():
        raise CheckpointError(f"{where} needs file, dtype and shape")
    dtype, shape, offset = entry["dtype"], entry["shape"], entry.get("offset", 0)
    if not isinstance(dtype, str) or dtype not in RAW_DTYPES:
        raise CheckpointError(f"{where} has dtype {dtype!r}; there are {', '.join(RAW_DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in (*shape, offset)):
        raise CheckpointError(f"{where} has shape {shape!r} and offset {offset!r}; both are whole numbers from 0")
    if len(shape) > 8:
        raise CheckpointError(f"{where} has {len(shape)} axes; a tap has 4 at most")
    file = path.parent / str(entry["file"])
    with open_regular(file) as (raw, there):
        wanted = math.prod(shape) * np.dtype(RAW_DTYPES[dtype]).itemsize
        if offset + wanted > there:
            raise CheckpointError(
                f"{shown(file)}: {shown(name)} needs {wanted} bytes from byte {offset}, the file has {there}"
            )
        raw.seek(offset)
        numbers = np.frombuffer(raw.read(wanted), RAW_DTYPES[dtype]).reshape(shape)
    return widen(numbers) if dtype == "bfloat16" else numbers
