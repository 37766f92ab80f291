"""Commands on models and checkpoints: verify, inspect."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .usage import UsageError, add_command, model_folder

CHECKED_MODEL = "tiny-random"  # ships with numbers of the reference library


def add_verify(commands: Any) -> None:
    parser = add_command(
        commands,
        "verify",
        "compare this package with the reference library's stored numbers",
        "Run every head forward and backward and compare tokens, outputs, hidden states, attentions, loss "
        "and the gradient of every parameter with numbers that transformers and torch computed. max|d|/RMS is the "
        "largest difference in units of the root mean square of the reference.",
        "bert-numpy verify --all",
        "bert-numpy verify bert-base-uncased",
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=CHECKED_MODEL,
        help=f"a folder with stored numbers (default: {CHECKED_MODEL}), or a published model, which is downloaded and "
        "compared with what others have published about it",
    )
    parser.add_argument("--dtype", choices=("float64", "float32", "both"), default="both", help="default: both")
    parser.add_argument("--all", action="store_true", help="a line for every gradient, not only the worst of each head")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each head")
    parser.set_defaults(run=run_verify)


def run_verify(options: argparse.Namespace) -> int:
    if (references := _published(options.model)) is not None:
        return _verify_published(options, references)
    from ..verification import goldens

    dtypes = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    if not options.json:
        made_with = ", ".join(f"{name} {version}" for name, version in goldens.versions(options.model).items())
        print(f"reference: {options.model}, computed in float64 with {made_with}")
    reports = ((dtype, report) for dtype in dtypes for report in goldens.verify(options.model, dtype))
    return _print_reports(reports, options)


def _published(name: str) -> Any:
    """The numbers that others have published about a known model that is no folder here; None for any other."""
    from ..hub import known_model, shipped_models

    model = None if Path(name).exists() or name in shipped_models() else known_model(name)
    return model.details.get("references") if model is not None else None


def _verify_published(options: argparse.Namespace, references: Any) -> int:
    from ..verification.published import verify_published

    folder = model_folder(options)
    if not options.json:
        print(f"reference: {options.model}, numbers that others have published, with their tolerances")
    return _print_reports((("float32", report) for report in verify_published(folder, references)), options)


def _print_reports(reports: Iterable[tuple[str, Any]], options: argparse.Namespace) -> int:
    """Print reports as they come, and say how many arrays are equal; 1 if one is not."""
    taps = failed = 0
    for dtype, report in reports:
        taps += len(report.taps)
        failed += sum(not tap.ok for tap in report.taps)
        if options.json:
            print(json.dumps({"dtype": dtype, **report.to_dict()}))
        else:
            _print_report(report, dtype, options.all)
    if not options.json:
        print(f"\n{taps - failed} of {taps} arrays equal within the tolerance" + (f", {failed} NOT" if failed else ""))
    return 1 if failed else 0


def _print_report(report: Any, dtype: str, every_gradient: bool) -> None:
    print(f"\n{report.title}, {dtype}, tolerance {report.tolerance:.0e}")
    print(f"  {'':<58}{'shape':<14}{'max|d|':>9}{'max|d|/RMS':>12}  verdict")
    gradients = [tap for tap in report.taps if tap.name.startswith("d ")]
    for tap in report.taps:
        if every_gradient or tap not in gradients or not tap.ok:
            _print_tap(tap.name, tap)
    if gradients and not every_gradient:
        worst = max(gradients, key=lambda tap: tap.ratio)
        print(f"  gradients of {len(gradients)} parameters, the worst of them:")
        _print_tap(worst.name, worst)


def _print_tap(name: str, tap: Any) -> None:
    shape = "x".join(map(str, tap.shape)) or "scalar"
    print(f"  {name:<58}{shape:<14}{tap.max_difference:>9.1e}{tap.ratio:>12.1e}  {tap.verdict}")


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
