"""Dump what transformers computes: a program of its own, and an example of how a torch port is dumped.

    python transformers_dump.py REQUEST.json

    {"model": "folder", "class": "BertForMaskedLM", "inputs": "inputs.npz", "output": "dump.safetensors",
     "dtype": "float32", "attention": "eager", "gradients": true}

The inputs are named `CASE/input_ids` and so on; so are the tensors of the dump, by the paths of the modules.

Here: the oracle's side of `bert-numpy verify MODEL --against transformers`, which runs this file as a process and
imports nothing of it.  It needs the extra `reference`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(request_file: str) -> None:
    """Run every case of a request and write one dump."""
    import safetensors.torch
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    model = getattr(transformers, request["class"]).from_pretrained(
        request["model"],
        dtype=getattr(torch, request["dtype"]),
        attn_implementation=request["attention"],
        local_files_only=True,
    )
    model.eval()
    cases: dict[str, dict[str, Any]] = {}
    with np.load(request["inputs"]) as file:
        for name in file.files:
            case, _, key = name.rpartition("/")
            cases.setdefault(case, {})[key] = torch.from_numpy(file[name])
    dump = {}
    for case, inputs in cases.items():
        for name, tensor in dump_of(model, inputs, request["gradients"]).items():
            dump[f"{case}/{name}"] = tensor.detach().contiguous().clone()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    safetensors.torch.save_file(dump, request["output"], metadata={"format": "pt", **versions})


def dump_of(model: Any, inputs: dict[str, Any], gradients: bool) -> dict[str, Any]:
    """The inputs, the output of every module and, if asked for, the gradient of every module and parameter."""
    found: dict[str, Any] = dict(inputs)
    hooks = [module.register_forward_hook(keep(name, found)) for name, module in model.named_modules() if name]
    eager = model.config._attn_implementation == "eager"
    outputs = model(**inputs, output_attentions=eager)
    for hook in hooks:
        hook.remove()
    for i, attention in enumerate(outputs.get("attentions") or ()):
        found[f"attentions.{i}"] = attention
    if outputs.get("loss") is not None:
        found["loss"] = outputs["loss"]
    if gradients and outputs.get("loss") is not None:
        for name, tensor in found.items():
            if tensor.requires_grad and not tensor.is_leaf and not name.startswith("attentions"):
                tensor.retain_grad()
        model.zero_grad()
        outputs["loss"].backward()
        of_modules = {f"d {name}": tensor.grad for name, tensor in found.items() if not tensor.is_leaf}
        of_parameters = {f"d {name}": parameter.grad for name, parameter in model.named_parameters()}
        found.update({name: grad for name, grad in {**of_modules, **of_parameters}.items() if grad is not None})
    return found


def keep(name: str, found: dict[str, Any]) -> Any:
    """A hook that keeps the output of a module; of several outputs, the first."""

    def hook(module: Any, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if hasattr(first, "shape"):
            found[name] = first

    return hook


if __name__ == "__main__":
    main(sys.argv[1])
