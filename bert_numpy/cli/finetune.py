"""Commands that train and measure: finetune, evaluate, predict."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .pretrain import evaluate_pretrained
from .usage import DEFAULT_MODEL, UsageError, add_command, model_folder, note_default_model, positive

if TYPE_CHECKING:
    from ..tasks import Outcome, Task

KINDS = {
    "classify": "a class for each text: topic, sentiment, language, spam or not",
    "regress": "a number for each text: a rating, how similar two sentences are",
    "tag": "a tag for each word: names, parts of speech",
    "qa": "where in a text the answer to a question stands",
    "choice": "which of several endings is right",
}
FILES = {
    "classify": "a CSV, TSV or JSON lines file with a column of texts, or two, and one of labels",
    "regress": "a CSV, TSV or JSON lines file with a column of texts, or two, and one of numbers",
    "tag": "a file with a word and its tag on each line and an empty line after each sentence",
    "qa": "a JSON file in the form of SQuAD v1.1 or v2.0",
    "choice": "a CSV file of SWAG, or JSON lines with context, choices and label",
}
LONG_TEXTS = {
    "classify": "Texts longer than --max-length are cut; with --stride they are read through overlapping windows, and "
    "the probabilities are the mean over the windows, weighted by the tokens that are new in each.",
    "regress": "Texts longer than --max-length are cut; with --stride they are read through overlapping windows, and "
    "the number is the mean over the windows, weighted by the tokens that are new in each.",
    "tag": "Long sentences are read through overlapping windows; every word is tagged in the window in which it is "
    "farthest from an edge.",
    "qa": "Long texts are read through overlapping windows, which compete by the sum of the logits of start and end.",
    "choice": "Beginnings and endings that are longer than --max-length together are cut.",
}


def add_finetune(commands: Any) -> None:
    parser = add_command(
        commands,
        "finetune",
        "train a model for a task, on a file of yours",
        "Train a model for one of five tasks, measure it, and write a folder that `evaluate`, `predict` and the "
        "commands `classify`, `tag` and `answer` take as their model. Ctrl-C saves the state; the same command with "
        "--resume goes on, with the same result as if nothing had happened.",
        "bert-numpy finetune classify --model all-MiniLM-L6-v2 --train sms.tsv --eval-fraction 0.2 --output my-spam",
        "bert-numpy finetune tag --model bert-base-cased --train train.conll --eval dev.conll --output my-ner",
        "bert-numpy finetune qa --help",
    )
    kinds = parser.add_subparsers(title="tasks", dest="task", metavar="TASK", required=True)
    for name, what in KINDS.items():
        kind = add_command(
            kinds,
            name,
            what,
            f"Train a model to find {what}. The data is {FILES[name]}. {LONG_TEXTS[name]}",
            f"bert-numpy finetune {name} --model bert-base-uncased --train train{_ending(name)} "
            f"--eval dev{_ending(name)} --output my-model",
        )
        kind.add_argument("--model", metavar="FOLDER", help=f"the model to begin with (default: {DEFAULT_MODEL})")
        kind.add_argument("--train", metavar="FILE", required=True, help="the training data")
        data = kind.add_mutually_exclusive_group()
        data.add_argument("--eval", metavar="FILE", dest="evaluation", help="data to evaluate on after each epoch")
        data.add_argument("--eval-fraction", type=_fraction, metavar="F", help="or set aside this share of --train")
        kind.add_argument("--output", metavar="DIR", required=True, help="a new folder for the trained model")
        _add_training(kind)
        _add_reading(kind, name)
        kind.add_argument("--json", action="store_true", help="print the metrics as one JSON object")
        kind.set_defaults(run=run_finetune)


def run_finetune(options: argparse.Namespace) -> int:
    from ..tasks import Settings, finetune

    chosen = {name: getattr(options, name) for name in Settings.__dataclass_fields__ if hasattr(options, name)}
    try:
        with _named_as_options():
            outcome = finetune(
                _task(options.task, options),
                model_folder(options),
                options.train,
                options.output,
                evaluation=options.evaluation,
                eval_fraction=options.eval_fraction,
                settings=Settings(**chosen),
            )
    except KeyboardInterrupt:
        print(f"stopped; the same command with --resume goes on from what {options.output} holds", file=sys.stderr)
        raise
    if outcome.metrics:
        _print_metrics(outcome, options)
    else:
        print("note: not evaluated; give --eval FILE or --eval-fraction 0.2", file=sys.stderr)
    print(f"the trained model is in {options.output}", file=sys.stderr)
    note_default_model(options)
    return 0


def add_evaluate(commands: Any) -> None:
    parser = add_command(
        commands,
        "evaluate",
        "compare a trained model's answers with the labels of a file",
        "Print how good a trained model is on a file: accuracy, F1 and the Matthews correlation of classes, "
        "correlations of numbers, F1 of entities, exact match and F1 of answers. The model knows its task, and reads "
        "long texts as it did in training. A pre-trained model needs no file: it is compared with documents that were "
        "held out of its training, or with the truth about the small world.",
        "bert-numpy evaluate my-spam test.tsv",
        "bert-numpy evaluate my-ner test.conll --json --confusion confusion.png",
        "bert-numpy evaluate small-world",
    )
    _add_model_and_file(parser, file_is_optional=True)
    parser.add_argument("--confusion", metavar="FILE", help="draw the confusion matrix into this PNG file")
    parser.add_argument("--json", action="store_true", help="print the metrics as one JSON object")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(options: argparse.Namespace) -> int:
    from ..configuration import BertConfig
    from ..tasks import evaluate

    folder = model_folder(options)
    if "BertForPreTraining" in (BertConfig.from_pretrained(folder).architectures or []):
        return evaluate_pretrained(folder, [options.file] if options.file else [], as_json=options.json)
    if options.file is None:
        raise UsageError(f"give the file to evaluate {options.model} on")
    if options.confusion is not None and not options.confusion.lower().endswith(".png"):
        raise UsageError(f"--confusion {options.confusion} must end in .png")
    with _named_as_options():
        outcome = evaluate(folder, options.file, task=_task_of_model(options), **_lengths(options))
    _print_metrics(outcome, options)
    if options.confusion is not None:
        _draw_confusion(outcome, options.confusion)
    return 0


def add_predict(commands: Any) -> None:
    parser = add_command(
        commands,
        "predict",
        "a trained model's answers to what stands in a file",
        "Write the answer of a trained model to every example of a file; labels that stand there are passed over. The "
        "ending of --output says how: .jsonl for all; .csv or .tsv for classes and numbers; .txt or .conll for tags; "
        ".json for answers, as the programs of SQuAD read them.",
        "bert-numpy predict my-spam new.txt --output labels.csv",
        "bert-numpy predict my-qa questions.json --output predictions.json",
    )
    _add_model_and_file(parser)
    parser.add_argument("--output", metavar="FILE", help="where to write (default: JSON lines to stdout)")
    parser.set_defaults(run=run_predict)


def run_predict(options: argparse.Namespace) -> int:
    from ..tasks import predict
    from ..tasks.answer_files import as_rows, check_ending, write_answers

    task = _task_of_model(options)
    if options.output is not None:
        try:
            check_ending(options.output, task.name)
        except ValueError as error:
            raise UsageError(f"--output {error}") from None
        if not Path(options.output).parent.is_dir():
            raise UsageError(f"--output {options.output} must lie in a folder that exists")
    with _named_as_options():
        outcome = predict(model_folder(options), options.file, task=task, **_lengths(options))
    assert outcome.examples is not None
    if options.output is not None:
        write_answers(options.output, outcome.examples, outcome.answers, task.name)
        print(f"{len(outcome.answers)} answers written to {options.output}", file=sys.stderr)
        return 0
    for row in as_rows(outcome.examples, outcome.answers, task.name):
        print(json.dumps(row, ensure_ascii=False))
    return 0


# ---- arguments ----


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=_above_zero, default=3.0, metavar="N", help="passes over it (default: 3)")
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="examples a step (default: 16)")
    parser.add_argument(
        "--learning-rate", type=_above_zero, default=5e-5, metavar="R", help="the highest (default: 5e-5)"
    )
    parser.add_argument(
        "--warmup", type=_from_zero, default=0.1, metavar="W", help="steps, or below 1 a share of them (default: 0.1)"
    )
    parser.add_argument("--weight-decay", type=_from_zero, default=0.01, metavar="D", help="default: 0.01")
    parser.add_argument(
        "--seed", type=_not_negative, default=42, metavar="N", help="of everything that chance decides (default: 42)"
    )
    parser.add_argument(
        "--save-steps", type=positive, metavar="N", help="steps from one checkpoint to the next (default: 1 epoch)"
    )
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    state.add_argument("--overwrite", action="store_true", help="discard what the output folder holds")


def _add_model_and_file(parser: argparse.ArgumentParser, file_is_optional: bool = False) -> None:
    parser.add_argument("model", metavar="MODEL", help="a folder that `finetune` wrote, or the name of a trained model")
    count = "?" if file_is_optional else None
    parser.add_argument("file", nargs=count, metavar="FILE", help="in the form that the training data had")
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="default: 32")
    _add_reading(parser, None)


def _add_reading(parser: argparse.ArgumentParser, task: str | None) -> None:
    """How to read files, for one task, or for whichever the model is for."""
    reading = parser.add_argument_group("reading")
    reading.add_argument("--max-length", type=positive, metavar="N", help="longest sequence in tokens")
    if task != "choice":
        reading.add_argument("--stride", type=_not_negative, metavar="N", help="tokens that neighbouring windows share")
    reading.add_argument("--encoding", default="utf-8", metavar="NAME", help="of the files (default: utf-8)")
    if task in (None, "classify", "regress"):
        reading.add_argument("--text-column", metavar="COLUMN", help="its name, or its number from 0")
        reading.add_argument("--text-pair-column", metavar="COLUMN", help="of the second texts of pairs")
    if task in (None, "classify", "regress", "tag"):
        reading.add_argument("--label-column", metavar="COLUMN", help="its name, or its number from 0")
        reading.add_argument("--delimiter", metavar="CHARACTER", help="what separates columns")
    if task in (None, "classify", "regress"):
        reading.add_argument("--format", choices=("csv", "tsv", "jsonl", "text"), help="default: by the file's ending")
        reading.add_argument(
            "--header", action=argparse.BooleanOptionalAction, default=None, help="whether the first row names columns"
        )
    if task in (None, "tag"):
        reading.add_argument("--token-column", metavar="NUMBER", help="of the words, from 0 (default: 0)")
    if task in (None, "classify"):
        reading.add_argument("--positive", metavar="LABEL", help="of two labels, the one whose F1 is measured")
    if task in (None, "qa"):
        reading.add_argument(
            "--no-answer", action="store_true", default=None, help='let "" be an answer (default: as in the training)'
        )


_READING = {
    "classify": (
        "text_column",
        "text_pair_column",
        "label_column",
        "delimiter",
        "format",
        "header",
        "encoding",
        "positive",
    ),
    "regress": ("text_column", "text_pair_column", "label_column", "delimiter", "format", "header", "encoding"),
    "tag": ("token_column", "label_column", "delimiter", "encoding"),
    "qa": ("no_answer", "encoding"),
    "choice": ("encoding",),
}
"""The options of reading that each task has; `--max-length` and `--stride` are common."""


def _task(name: str, options: argparse.Namespace) -> Task:
    """The task, told what its files look like."""
    from ..tasks import TASKS

    given: dict[str, Any] = {}
    for option in sorted({option for names in _READING.values() for option in names}):
        value = getattr(options, option, None)
        if value is None:
            continue
        if option not in _READING[name]:
            raise UsageError(f"--{option.replace('_', '-')} is not for {name}")
        given[option] = _column(option, value, name) if option.endswith("_column") else value
    if given.get("delimiter") == "\\t":
        given["delimiter"] = "\t"
    return TASKS[name](**given)


def _column(option: str, value: str, task: str) -> str | int:
    """A name, or a number if it is one."""
    number = value.removeprefix("-")
    if number.isascii() and number.isdecimal():
        return int(value)
    if task == "tag":
        raise UsageError(f"--{option.replace('_', '-')} {value} must be a number: 0 is the first column, -1 the last")
    return value


def _task_of_model(options: argparse.Namespace) -> Task:
    from ..configuration import BertConfig
    from ..tasks import task_name

    folder = model_folder(options)
    return _task(task_name(BertConfig.from_pretrained(folder), folder), options)


@contextmanager
def _named_as_options() -> Iterator[None]:
    """Messages of the library say `label_column=...`; here that is `--label-column`."""
    try:
        yield
    except (FileNotFoundError, UsageError):
        raise
    except ValueError as error:
        named = "|".join(sorted({"max_length", "stride"}.union(*_READING.values())))
        message = re.sub(rf"\b({named})= ?", lambda match: f"--{match[1].replace('_', '-')} ", str(error))
        raise ValueError(message) from None


def _lengths(options: argparse.Namespace) -> dict[str, Any]:
    return {"max_length": options.max_length, "stride": options.stride, "batch_size": options.batch_size}


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _above_zero(text: str) -> float:
    if (value := _number(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _from_zero(text: str) -> float:
    if (value := _number(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return value


def _fraction(text: str) -> float:
    if not 0 < (value := _number(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} does not lie between 0 and 1")
    return value


def _not_negative(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _ending(task: str) -> str:
    return {"tag": ".conll", "qa": ".json", "choice": ".jsonl"}.get(task, ".csv")


# ---- results ----


def _print_metrics(outcome: Outcome, options: argparse.Namespace) -> None:
    from ..tasks.folders import finite

    if options.json:
        print(json.dumps(finite(outcome.metrics), ensure_ascii=False))
        return
    for name, value in outcome.metrics.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for kind, number in rows:
            shown = f"{number:.4f}" if isinstance(number, float) else str(number)
            print(f"{f'{name} {kind}'.strip():<24}{shown:>10}")


def _draw_confusion(outcome: Outcome, path: str) -> None:
    from ..visualization import plot_confusion_matrix, save_figure

    assert outcome.examples is not None
    confusion = outcome.task.confusion(outcome.examples, outcome.answers)
    if confusion is None:
        raise UsageError(f"--confusion is for classes and tags; this model is for {outcome.task.name}")
    save_figure(plot_confusion_matrix(*confusion), path)
