"""`bert-numpy pretrain`: a BERT from a text of one's own, or from the small world, by one command.

Here: the command, and how `evaluate` shows a pre-trained folder.  Not here: the run (`tasks/pretraining.py`).
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .usage import UsageError, add_command, positive

OWN = ("command", "run", "output", "resume", "corpus", "text")  # options that are no settings


def add_pretrain(commands: Any) -> None:
    parser = add_command(
        commands,
        "pretrain",
        "train a BERT from nothing on a text of yours",
        "Learn a vocabulary, train a BERT on masked words and next sentences, evaluate it, and write model, log, "
        "curves and a model card into a folder. A text has one sentence a line and a blank line between documents. "
        "Ctrl-C saves; --resume goes on.",
        "bert-numpy pretrain --text my.txt --output my-bert --minutes 10",
        "bert-numpy pretrain --text *.txt --output my-bert --size mini --vocab-size 16000 --epochs 3",
        "bert-numpy pretrain --corpus world --output world-bert",
        "bert-numpy pretrain --output my-bert --resume",
    )
    parser.add_argument("--text", nargs="+", metavar="FILE", help="what to learn from")
    parser.add_argument("--corpus", choices=("world",), help="learn from the generated small world instead")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where everything goes; must hold no model")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output, under its settings")
    _add_model_options(parser)
    _add_data_options(parser)
    _add_training_options(parser)
    parser.set_defaults(run=run_pretrain)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument("--model", metavar="FOLDER", help="go on from this model, with its vocabulary")
    group.add_argument("--vocab", metavar="FILE", help="take this vocab.txt instead of learning one")
    group.add_argument("--vocab-size", type=positive, metavar="N", help="tokens to learn (default: 8000)")
    group.add_argument("--cased", action="store_true", default=None, help="keep upper case and accents")
    group.add_argument("--size", choices=("tiny", "mini", "small", "medium", "base"), help="default: tiny")
    group.add_argument("--hidden-size", type=positive, metavar="H", help="instead of --size")
    group.add_argument("--layers", type=positive, metavar="L", dest="num_hidden_layers")
    group.add_argument("--heads", type=positive, metavar="A", dest="num_attention_heads")
    group.add_argument("--intermediate-size", type=positive, metavar="I", help="default: 4 H")
    group.add_argument("--dropout", type=float, metavar="P")
    group.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="of the finished weights")


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the data")
    group.add_argument("--documents", type=positive, metavar="N", help="of the small world")
    group.add_argument("--held-out", type=float, metavar="P", help="fraction of documents kept to evaluate on (0.05)")
    group.add_argument("--max-length", type=positive, metavar="S", help="tokens in a sequence (default: 128)")
    group.add_argument("--mlm-probability", type=float, metavar="P", help="how many tokens are to be found (0.15)")
    group.add_argument("--whole-word-mask", action="store_true", default=None, help="choose words, not pieces")
    group.add_argument("--dupe-factor", type=positive, metavar="N", help="pairs from each document so often (1)")
    group.add_argument("--short-seq-prob", type=float, metavar="P", help="how often pairs are cut shorter (0.1)")


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--steps", type=positive, metavar="N", help="how long; default: 2000")
    length.add_argument("--epochs", type=float, metavar="N")
    length.add_argument("--minutes", type=float, metavar="N", help="as many steps as this machine makes in that time")
    group.add_argument("--batch-size", type=positive, metavar="B", help="default: 32")
    group.add_argument("--lr", type=float, metavar="X", dest="learning_rate", help="the highest rate (0.001)")
    group.add_argument("--warmup-steps", type=float, metavar="N", help="steps, or below 1 a fraction of all (0.1)")
    group.add_argument("--weight-decay", type=float, metavar="X", help="default: 0.01")
    group.add_argument("--save-steps", type=float, metavar="N", help="steps between checkpoints, or a fraction (0.1)")
    group.add_argument("--seed", type=int, metavar="N", help="everything random follows from it (0)")


def run_pretrain(options: argparse.Namespace) -> int:
    from .. import __version__
    from ..tasks.pretraining import pretrain

    settings = None if options.resume else _settings(options)
    if options.resume:
        _refuse_settings(options)
    try:
        figures = pretrain(
            settings,
            options.output,
            resume=options.resume,
            command=_command(options),
            version=__version__,
            say=_say,
        )
    except KeyboardInterrupt:
        return _interrupted(Path(options.output))
    _show(figures)
    _say(f"everything is in {options.output}; its README.md is the model card")
    return 0


def evaluate_pretrained(
    folder: str | Path, texts: Sequence[str] = (), *, as_json: bool = False, seed: int = 0, batch_size: int = 64
) -> int:
    """Evaluate a folder with the heads of pre-training, and print the figures; returns the exit code.

    Without texts, the documents that were held out of its training are taken, or the small world if it knows it.
    """
    from ..tasks.pretraining_evaluation import evaluate_pretrained as evaluate

    figures = evaluate(folder, texts, seed=seed, batch_size=batch_size)
    if as_json:
        print(json.dumps(figures))
    else:
        _show(figures)
    return 0


def _settings(options: argparse.Namespace) -> Any:
    """The settings that the options name, checked as far as they can be before anything is read."""
    from ..tasks.pretraining_settings import PretrainingSettings

    given = _given(options)
    if bool(options.text) == bool(options.corpus):
        raise UsageError("give --text FILE or --corpus world: what to learn from")
    if options.corpus and given.keys() & {"vocab", "vocab_size", "cased", "held_out"}:
        raise UsageError(
            "the small world has its own vocabulary and its own held-out documents; leave these options out"
        )
    if options.text and options.documents:
        raise UsageError("--documents goes with --corpus world")
    if options.vocab and options.vocab_size:
        raise UsageError("give --vocab or --vocab-size, not both")
    fresh = ("size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "dropout")
    if options.model and given.keys() & {*fresh, "vocab", "vocab_size", "cased"}:
        raise UsageError("--model brings its own sizes and vocabulary; leave the options for a fresh model out")
    if options.size and given.keys() & {"hidden_size", "num_hidden_layers", "num_attention_heads"}:
        raise UsageError("give --size, or --hidden-size with --layers and --heads")
    corpus = options.corpus or tuple(str(Path(text).absolute()) for text in options.text)
    try:
        return PretrainingSettings.of(corpus, **given)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _given(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in OWN and value is not None}


def _refuse_settings(options: argparse.Namespace) -> None:
    given = [*_given(options), *(name for name in ("text", "corpus") if getattr(options, name))]
    if given:
        name = {"num_hidden_layers": "layers", "num_attention_heads": "heads", "learning_rate": "lr"}.get(given[0])
        option = "--" + (name or given[0]).replace("_", "-")
        raise UsageError(f"--resume goes on under the settings of the run; leave {option} out")


def _command(options: argparse.Namespace) -> str:
    """The command line that says the same, for the model card."""
    words = ["bert-numpy", "pretrain"]
    names = {"num_hidden_layers": "layers", "num_attention_heads": "heads", "learning_rate": "lr"}
    for name, value in vars(options).items():
        if name in ("command", "run") or value is None or value is False:
            continue
        words.append("--" + names.get(name, name).replace("_", "-"))
        words += [] if value is True else [str(item) for item in (value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _interrupted(folder: Path) -> int:
    from ..tasks.pretraining import RECORD

    if (folder / RECORD).is_file():
        again = shlex.join(["bert-numpy", "pretrain", "--output", str(folder), "--resume"])
        print(f"interrupted, and saved; go on with: {again}", file=sys.stderr)
    else:
        print("interrupted before training began; nothing was written", file=sys.stderr)
    return 130


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(figures: dict[str, Any]) -> None:
    from ..tasks.pretraining_evaluation import describe_figures

    print(f"on {figures['corpus']}:")
    shown = describe_figures(figures)
    width = max(len(title) for title, _ in shown)
    for title, value in shown:
        print(f"  {title:<{width}}  {value:>10}")
