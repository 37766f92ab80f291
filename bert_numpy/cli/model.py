"""Commands on models and checkpoints: inspect, convert, download."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .usage import UsageError, add_command


def add_inspect(commands: Any) -> None:
    parser = add_command(
        commands,
        "inspect",
        "what is in a checkpoint, and what would load where",
        "List the tensors of a checkpoint with shapes and dtypes, count the parameters, look for values "
        "that are not finite, and say which models the checkpoint would load into.",
        "bert-numpy inspect my-bert",
    )
    parser.add_argument("path", help="a model folder, a weight file of any form, or the name of a model")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run_inspect)


def run_inspect(options: argparse.Namespace) -> int:
    from ..checkpoints import load_checkpoint, safetensors
    from ..hub import find_model

    if not options.path:
        raise UsageError("the name of the checkpoint is empty")
    given = Path(options.path)
    path = (
        given
        if given.is_file() or given.with_name(f"{given.name}.index").is_file()
        else find_model(options.path, files=("config", "weights"))
    )
    tensors = load_checkpoint(path)
    stored = _stored_dtypes(path)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "dtype": stored.get(name, str(array.dtype)),
            "shape": list(array.shape),
            "not_finite": int(np.count_nonzero(~np.isfinite(array))) if array.dtype.kind == "f" else 0,
        }
        for name, array in tensors.items()
    ]
    result = {
        "path": str(path),
        "tensors": rows,
        "parameters": sum(array.size for array in tensors.values()),
        "metadata": safetensors.read_header(path).metadata if path.is_file() and path.suffix == ".safetensors" else {},
        "loads_into": _loads_into(path, tensors) if path.is_dir() else {},
    }
    print(json.dumps(result)) if options.json else _print_inspection(result)
    return 0


def _stored_dtypes(path: Path) -> dict[str, str]:
    """The dtypes in the file, which for BF16 are not those of the arrays."""
    from ..checkpoints import safetensors

    files = [path] if path.is_file() else sorted(path.glob("model*.safetensors"))
    return {
        name: info.dtype
        for file in files
        if file.is_file() and file.suffix == ".safetensors"
        for name, info in safetensors.read_header(file).tensors.items()
    }


def _loads_into(folder: Path, tensors: dict[str, np.ndarray]) -> dict[str, dict[str, list[str]]]:
    """For every model class: parameters it would draw afresh, heads it would leave unused, reasons to refuse."""
    from .. import models
    from ..configuration import BertConfig

    config = BertConfig.from_pretrained(folder)
    found = {}
    for class_name in models.__all__:
        if class_name != "BertPreTrainedModel":
            fit = getattr(models, class_name)(config, init_weights=False).fit_weights(tensors, str(folder))
            found[class_name] = {"new": fit.new, "unused": fit.unused, "problems": fit.problems}
    return found


def _print_inspection(result: dict[str, Any]) -> None:
    width = max((len(row["name"]) for row in result["tensors"]), default=0)
    for row in result["tensors"]:
        shape = "x".join(map(str, row["shape"])) or "scalar"
        warning = f"  {row['not_finite']} NOT FINITE" if row["not_finite"] else ""
        print(f"{row['name']:<{width}}  {row['dtype']:<5} {shape}{warning}")
    print(f"\n{len(result['tensors'])} tensors, {result['parameters']:,} numbers")
    for name, value in result["metadata"].items():
        print(f"{name}: {value}")
    if result["loads_into"]:
        print("\nwould load into")
    for class_name, fit in result["loads_into"].items():
        if fit["problems"]:
            more = f" (and {len(fit['problems']) - 1} more)" if len(fit["problems"]) > 1 else ""
            print(f"  {class_name:<30} NO: {fit['problems'][0]}{more}")
            continue
        new = f"new: {', '.join(fit['new'])}" if fit["new"] else "complete"
        unused = f"; unused: {len(fit['unused'])} tensors" if fit["unused"] else ""
        print(f"  {class_name:<30} {new}{unused}")


def add_convert(commands: Any) -> None:
    parser = add_command(
        commands,
        "convert",
        "any readable form to a folder that other tools open",
        "Read a checkpoint (safetensors, torch, TensorFlow, or Google's zip archive) and write config.json, "
        "model.safetensors, the tokenizer files and a short model card.",
        "bert-numpy convert uncased_L-12_H-768_A-12.zip bert-base-uncased",
        "bert-numpy convert my-bert/pytorch_model.bin my-bert-f16 --dtype f16",
    )
    parser.add_argument(
        "source",
        help="a folder, a weight file, the prefix of a TensorFlow checkpoint, its archive, or the name of a model",
    )
    parser.add_argument("target", help="a folder that does not exist yet, or is empty")
    parser.add_argument("--dtype", choices=("f32", "f16", "bf16"), default="f32", help="of the weights (default: f32)")
    parser.set_defaults(run=run_convert)


def run_convert(options: argparse.Namespace) -> int:
    from ..conversion import convert

    if not options.source or not options.target:
        raise UsageError("the name of the source or of the target is empty")
    written = convert(options.source, options.target, options.dtype)
    tokenizer = "with its tokenizer" if written.has_tokenizer else "without a tokenizer: there was none beside it"
    print(f"{written.folder}: {written.class_name} of {written.parameters:,} parameters, {tokenizer}")
    if written.left_out:
        print(f"note: left out: {', '.join(written.left_out)}", file=sys.stderr)
    return 0


def add_download(commands: Any) -> None:
    parser = add_command(
        commands,
        "download",
        "fetch a published model into the cache",
        "Download a model into the Hugging Face cache, where other tools find it too, and print its folder. What is "
        "there already is not fetched again; a broken download goes on where it stopped.",
        "bert-numpy download bert-base-uncased",
        "bert-numpy download sentence-transformers/all-MiniLM-L6-v2",
        "bert-numpy download --list",
    )
    parser.add_argument("name", nargs="?", help="a known name, or organisation/name")
    parser.add_argument("--revision", help="a branch, tag or commit")
    parser.add_argument("--list", action="store_true", help="print the known names instead")
    parser.set_defaults(run=run_download)


def run_download(options: argparse.Namespace) -> int:
    from ..hub import download_model, known_models
    from ..hub.progress import TerminalReporter

    if options.list == bool(options.name):
        raise UsageError("give a name, or --list")
    if options.list:
        for model in known_models():
            print(f"{model.name:<52}{model.details['what']}")
    else:
        print(download_model(options.name, revision=options.revision, progress=TerminalReporter()))
    return 0
