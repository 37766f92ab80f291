"""Run transformers beside this package, on the same weights and inputs, and take what it computes as a dump.

transformers runs in a process of its own (`transformers_dump.py`), so that this package never imports it.

Here: the process.  Not here: the inputs (`suite.py`), the comparison (`comparison.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .dumps import Dump, read_dump
from .reference import Reference

DTYPES = ("float32", "float64", "float16", "bfloat16")
ATTENTIONS = ("eager", "sdpa")


def dump_transformers(
    reference: Reference,
    cases: Mapping[str, Mapping[str, np.ndarray]],
    *,
    dtype: str = "float32",
    attention: str = "eager",
    gradients: bool = True,
) -> Dump:
    """What transformers computes on these cases.

    Parameters
    ----------
    reference : Reference
        Its weights are handed over as a folder.
    cases : mapping of str to inputs
    dtype : {"float32", "float64", "float16", "bfloat16"}
    attention : {"eager", "sdpa"}
        "sdpa" does not show attention weights.
    gradients : bool
        Whether to dump those of every module and parameter too, where there are labels.

    Raises
    ------
    FileNotFoundError
        If torch, transformers or safetensors are not installed.
    RuntimeError
        If the process fails; quotes what it said last.
    """
    missing = [name for name in ("torch", "transformers", "safetensors") if find_spec(name) is None]
    if missing:
        raise FileNotFoundError(f'{", ".join(missing)}: not installed; pip install "bert-numpy[reference]"')
    with TemporaryDirectory() as folder:
        where = Path(folder)
        reference.model.save_pretrained(where / "model")
        arrays: dict[str, Any] = {f"{case}/{name}": a for case, inputs in cases.items() for name, a in inputs.items()}
        np.savez(where / "inputs.npz", **arrays)
        request = {
            "model": str(where / "model"),
            "class": type(reference.model).__name__,
            "inputs": str(where / "inputs.npz"),
            "output": str(where / "dump.safetensors"),
            "dtype": dtype,
            "attention": attention,
            "gradients": gradients,
        }
        (where / "request.json").write_text(json.dumps(request), encoding="utf-8")
        program = Path(__file__).with_name("transformers_dump.py")
        done = subprocess.run(
            [sys.executable, str(program), str(where / "request.json")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()[-1]
            raise RuntimeError(f"transformers could not compute the dump: {said}")
        dump = read_dump(where / "dump.safetensors")
        tensors = {name: np.array(array) for name, array in dump.tensors.items()}  # the file goes
        versions = ", ".join(f"{name} {dump.metadata[name]}" for name in ("transformers", "torch"))
        return Dump(f"{versions}, {dtype}, {attention}", tensors, dump.metadata)
