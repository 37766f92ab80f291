"""The command `bench`: how fast this package is, alone or beside the reference library."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .usage import DEFAULT_MODEL, TerminalLine, UsageError, add_command, positive


def add_bench(commands: Any) -> None:
    parser = add_command(
        commands,
        "bench",
        "measure speed and memory, alone or against transformers",
        "Time forward and backward passes, training steps, tokenization, loading and cold starts, and peaks of memory, "
        "beside the bare matrix products of the same shapes. With --against transformers both libraries take turns, "
        "each in a process of its own, on the same weights, inputs and threads, after their outputs were compared.",
        "bert-numpy bench --size tiny",
        "bert-numpy bench --against transformers --plot bench.png --table bench.md",
        "bert-numpy bench --only forward,train --threads 1 --json bench.json",
    )
    parser.add_argument(
        "--against", choices=("transformers",), help='the library to compare with (pip install "bert-numpy[reference]")'
    )
    parser.add_argument("--size", metavar="NAME", help="tiny, mini, small, medium, base (default) or large")
    parser.add_argument("--model", metavar="FOLDER", help="measure this model instead of a size with random weights")
    parser.add_argument(
        "--only",
        metavar="CASES",
        default="",
        help="names of cases, separated by commas: forward, sentences, backward, train, tokenize, load, start, memory, "
        "or single ones such as forward-8x128",
    )
    parser.add_argument("--repeats", type=positive, default=7, metavar="N", help="rounds (default: 7)")
    parser.add_argument("--threads", type=positive, metavar="N", help="of each side (default: all processors)")
    parser.add_argument("--sentences", metavar="FILE", help="64 lines to embed (default: random ids of mixed lengths)")
    parser.add_argument("--text", metavar="FILE", help="text to tokenize (default: drawn from the vocabulary)")
    parser.add_argument(
        "--vocab", metavar="FILE", help=f"a vocab.txt to tokenize with (default: that of --model, else {DEFAULT_MODEL})"
    )
    parser.add_argument("--cased", action="store_true", help="with --vocab: keep upper case and accents")
    parser.add_argument("--json", metavar="FILE", help="write every measured number")
    parser.add_argument("--table", metavar="FILE", help="write the table in Markdown")
    parser.add_argument("--plot", metavar="FILE", help="write a bar chart of the ratios, a PNG")
    parser.set_defaults(run=run_bench)


def run_bench(options: argparse.Namespace) -> int:
    from .. import __version__
    from ..benchmarks import run_benchmarks
    from ..benchmarks.report import markdown_table, text_table, to_dict
    from ..checkpoints.files import replacing

    _check(options)
    settings = _settings(options)
    progress = TerminalLine()
    try:
        report = run_benchmarks(settings, progress)
    finally:
        progress.clear()
    report = report._replace(about={"bert_numpy": __version__, **report.about})
    print(text_table(report), end="")
    if options.json:
        with replacing(options.json) as file:
            file.write(json.dumps(to_dict(report), indent=2).encode() + b"\n")
    if options.table:
        with replacing(options.table) as file:
            file.write(markdown_table(report).encode())
    if options.plot:
        from ..benchmarks.picture import draw

        with replacing(options.plot) as file:
            draw(report, file)
    if settings.text is None and any(result.case.needs_tokenizer for result in report.results):
        print("note: a drawn text is unlike a real one; give --text FILE and its --vocab FILE", file=sys.stderr)
    return 0 if report.ok else 1


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot end well before anything takes time."""
    from ..configuration import PRESETS

    if options.size and options.model:
        raise UsageError("give --size or --model, not both")
    if options.size and options.size not in PRESETS:
        raise UsageError(f"--size {options.size} is not a published size; choose from {', '.join(PRESETS)}")
    if options.cased and not options.vocab:
        raise UsageError("--cased goes with --vocab; a model's tokenizer knows its own case")
    if options.plot and not options.against:
        raise UsageError("--plot draws ratios; add --against transformers")
    if options.sentences and not (options.vocab or options.model):
        raise UsageError("--sentences needs the vocabulary of the model; add --vocab FILE or --model FOLDER")
    for name, suffix in (("json", ".json"), ("table", ".md"), ("plot", ".png")):
        target = None if getattr(options, name) is None else Path(getattr(options, name))
        if target is not None and (target.suffix != suffix or not target.parent.is_dir() or target.is_dir()):
            raise UsageError(f"--{name} {target} must end in {suffix} and lie in a folder that exists")


def _settings(options: argparse.Namespace) -> Any:
    from ..benchmarks import Settings, select_cases
    from ..benchmarks.running import available_cpus
    from ..hub import find_model
    from ..hub.progress import TerminalReporter
    from ..tokenization import BertTokenizer

    only = tuple(name.strip() for name in options.only.split(",") if name.strip())
    try:
        cases = select_cases(only)
    except ValueError as error:
        raise UsageError(str(error)) from None
    model = options.model and find_model(options.model, progress=TerminalReporter())
    tokenizer = None
    if options.vocab:
        tokenizer = BertTokenizer(options.vocab, do_lower_case=not options.cased)
    elif options.sentences or any(case.needs_tokenizer for case in cases):
        tokenizer = BertTokenizer.from_pretrained(model or find_model(DEFAULT_MODEL))
    return Settings(
        size=str(model or options.size or "base"),
        reference=options.against is not None,
        only=only,
        repeats=options.repeats,
        threads=options.threads or available_cpus(),
        tokenizer=tokenizer,
        text=options.text and Path(options.text),
        sentences=options.sentences and Path(options.sentences),
    )
