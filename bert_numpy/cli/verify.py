"""The commands `verify` and `export-goldens`: is it right, and if a port is not, which mistake is it?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .usage import TerminalLine, UsageError, add_command, model_folder, positive

CHECKED_MODEL = "tiny-random"  # ships with numbers of the reference library


def add_verify(commands: Any) -> None:
    parser = add_command(
        commands,
        "verify",
        "check this package, or a port of BERT, and name the mistake",
        "With --port or --against, compare what a port of BERT computes with the reference, tap by tap: the first "
        "wrong one, how wrong in units of rounding noise, and which mistake it is. Without them, compare this package "
        "with what transformers and torch computed, or what others have published about a model.",
        "bert-numpy verify my-bert --port dump.safetensors --plot errors.png",
        "bert-numpy verify my-bert --against transformers --dtype bfloat16",
        "bert-numpy verify --all",
        "bert-numpy verify bert-base-uncased",
    )
    parser.add_argument(
        "model",
        nargs="?",
        help="the model that was ported, a folder or a name; alone: a folder with stored numbers (default: "
        f"{CHECKED_MODEL}), or a published model, which is downloaded and compared with what is known of it",
    )
    port = parser.add_argument_group("a port")
    port.add_argument(
        "--port",
        metavar="DUMP",
        help="its tensors by name: safetensors, npz, JSON with raw files, or a dictionary of tensors by torch.save "
        "(.pt, .pth; no modules: save those tensors as safetensors or npz)",
    )
    port.add_argument(
        "--against",
        choices=("transformers",),
        help='run it now on a suite of inputs (pip install "bert-numpy[reference]")',
    )
    port.add_argument("--attention", choices=("eager", "sdpa"), help="with --against (default: eager)")
    port.add_argument("--map", metavar="FILE", help="JSON: {name in the dump: name of the tap}")
    port.add_argument(
        "--times", type=float, metavar="N", help="how many times the rounding noise is still equal (default: 8)"
    )
    port.add_argument("--pairs", action="store_true", help="try two mistakes at once where one does not explain it")
    port.add_argument("--junit", metavar="FILE", help="write a test report in JUnit's XML")
    port.add_argument("--plot", metavar="FILE", help="write the errors by layer as a picture, a PNG")
    parser.add_argument(
        "--dtype",
        choices=("both", "float64", "float32", "float16", "bfloat16"),
        help="what to compute in: float64, float32 or both (default); with --against float32 (default), float64, "
        "float16 or bfloat16",
    )
    parser.add_argument("--all", action="store_true", help="a line for every tensor, not only those that matter")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.set_defaults(run=run_verify)


def run_verify(options: argparse.Namespace) -> int:
    if options.port is not None or options.against:
        return _verify_port(options)
    for name in ("attention", "map", "times", "pairs", "junit", "plot"):
        if getattr(options, name) not in (None, False):
            raise UsageError(f"--{name} goes with --port or --against")
    options.model = options.model or CHECKED_MODEL
    if options.dtype not in (None, "both", "float64", "float32"):
        raise UsageError(f"--dtype {options.dtype} goes with --against; this package computes in float64 or float32")
    if (references := _published(options.model)) is not None:
        return _verify_published(options, references)
    from ..verification import goldens

    dtypes = ("float64", "float32") if options.dtype in (None, "both") else (options.dtype,)
    if not options.json:
        made_with = ", ".join(f"{name} {version}" for name, version in goldens.versions(options.model).items())
        print(f"reference: {options.model}, computed in float64 with {made_with}")
    reports = ((dtype, report) for dtype in dtypes for report in goldens.verify(options.model, dtype))
    return _print_reports(reports, options)


# ---- a port -----------------------------------------------------------------


def _verify_port(options: argparse.Namespace) -> int:
    """Compare a dump, or what transformers computes now, and write the report in every form that is asked for."""
    _check_port(options)
    renamed = _renamed(options.map)
    from ..checkpoints.files import replacing
    from ..verification.comparison import THRESHOLD, compare
    from ..verification.reference import load_reference

    progress = TerminalLine()
    try:
        progress("loading the model")
        reference = load_reference(model_folder(options))
        reference.name = options.model
        if options.port:
            dump: Any = options.port
        else:
            dump = _live(reference, options, progress)
        report = compare(
            reference,
            dump,
            renamed=renamed,
            threshold=options.times or THRESHOLD,
            pairs=options.pairs,
            progress=progress,
        )
    finally:
        progress.clear()
    print(
        json.dumps(report.to_dict()) if options.json else report.to_text(options.all), end="\n" if options.json else ""
    )
    if options.junit:
        with replacing(options.junit) as file:
            file.write(report.to_junit().encode())
    if options.plot:
        from ..visualization import plot_errors, save_figure

        save_figure(plot_errors(report), options.plot)
    return 0 if report.ok else 1


def _check_port(options: argparse.Namespace) -> None:
    """Refuse what does not go together before anything takes time."""
    if not options.model:
        raise UsageError("name the model that was ported: bert-numpy verify MODEL --port DUMP")
    if options.port is not None and options.against:
        raise UsageError("give --port DUMP or --against transformers, not both")
    if options.port == "":
        raise UsageError("--port needs the name of a file")
    if options.port and options.dtype:
        raise UsageError("--dtype goes with --against; what a dump was computed in shows in its numbers")
    if options.port and options.attention:
        raise UsageError("--attention goes with --against")
    if options.dtype == "both":
        raise UsageError("--dtype both goes without --against, which computes in one")
    if options.times is not None and not 0 < options.times < float("inf"):
        raise UsageError(f"--times {options.times:g} must be a number above 0")
    for name, suffix in (("junit", ".xml"), ("plot", ".png")):
        target = None if getattr(options, name) is None else Path(getattr(options, name))
        if target is not None and (target.suffix != suffix or not target.parent.is_dir() or target.is_dir()):
            raise UsageError(
                f"--{name} {getattr(options, name)!r} must end in {suffix} and lie in a folder that exists"
            )


def _renamed(file: str | None) -> dict[str, str]:
    """The names that `--map` gives."""
    if file is None:
        return {}
    if not Path(file).is_file():
        raise FileNotFoundError(f"no file {file}")
    try:
        names = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
        raise ValueError(f"{file}: expected an object of names: {{name in the dump: name of the tap}}")
    return names


def _live(reference: Any, options: argparse.Namespace, progress: TerminalLine) -> Any:
    from ..verification.live import dump_transformers
    from ..verification.suite import suite

    progress("running transformers")
    return dump_transformers(
        reference, suite(reference), dtype=options.dtype or "float32", attention=options.attention or "eager"
    )


# ---- stored and published numbers -------------------------------------------


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


# ---- goldens ----------------------------------------------------------------


def add_export_goldens(commands: Any) -> None:
    parser = add_command(
        commands,
        "export-goldens",
        "write what the reference computes, for a port's own tests",
        "Write a suite of inputs (single, pair, padded, length 1 and 2, the greatest length, unknown words, accents, "
        "Chinese, emoji, [MASK], a row of padding) with every tap in float64 and float32, as safetensors; the manifest "
        "in its metadata has versions, checksum, configuration, texts and the steps by which each tap is computed.",
        "bert-numpy export-goldens my-bert goldens.safetensors",
        "bert-numpy export-goldens my-bert goldens.safetensors --cases single,padded --gradients",
    )
    parser.add_argument("model", help="a folder, or the name of a model")
    parser.add_argument("output", metavar="OUT.safetensors", help="the file to write")
    parser.add_argument("--cases", metavar="NAMES", help="only these, separated by commas")
    parser.add_argument(
        "--longest", type=positive, metavar="S", help="positions of the longest case (the model's, up to 64)"
    )
    parser.add_argument("--gradients", action="store_true", help="those of every tap and parameter too")
    parser.set_defaults(run=run_export_goldens)


def run_export_goldens(options: argparse.Namespace) -> int:
    from .. import __version__
    from ..configuration import BertConfig
    from ..verification.reference import load_reference
    from ..verification.suite import LONGEST, export_goldens

    output = Path(options.output)
    if output.suffix != ".safetensors" or not output.parent.is_dir() or output.is_dir():
        raise UsageError(f"{output} must end in .safetensors and lie in a folder that exists")
    cases = None if options.cases is None else [name.strip() for name in options.cases.split(",")]
    folder = model_folder(options)
    limit = BertConfig.from_pretrained(folder).max_position_embeddings
    if options.longest is not None and options.longest > limit:
        raise UsageError(
            f"--longest {options.longest} is more than the {limit} positions of {options.model} "
            "(max_position_embeddings)"
        )
    reference = load_reference(folder)
    reference.name = options.model
    count = export_goldens(
        reference,
        output,
        __version__,
        longest=options.longest or LONGEST,
        gradients=options.gradients,
        cases=cases,
    )
    print(f"{output}: {count} tensors, {output.stat().st_size / 1e6:.2f} MB", file=sys.stderr)
    return 0
