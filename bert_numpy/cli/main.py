"""`bert-numpy`: its commands, and what its exit codes mean.

Data goes to stdout, messages to stderr.  Exit code 0: done; 1: a check failed, or an input cannot be used; 2: wrong
usage; 3: a file or model is missing; 130: interrupted.  A user's mistake is one line, never a traceback.

Read next: `text.py` and `model.py`, the commands.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from . import answers, bench, exercises, finetune, model, pretrain, text, verify
from .usage import HelpFormatter, UsageError, with_examples

EXAMPLES = (
    "bert-numpy verify                               compare this package with stored reference numbers",
    "bert-numpy verify my-bert --port dump.npz       which layer of a port is wrong, and which mistake it is",
    "bert-numpy inspect my-bert                      what is in a checkpoint, and what would load where",
    'bert-numpy tokenize "Hello, world!" --model my-bert',
    'bert-numpy fill-mask "Paris is the [MASK] of France." --model my-bert',
    "bert-numpy embed --model all-MiniLM-L6-v2 --input lines.txt --output vectors.npy",
    'bert-numpy answer "Where is the key?" --context "The key is under the mat." --model my-qa',
    "bert-numpy pretrain --text my-text.txt --output my-bert",
    "bert-numpy finetune classify --model my-bert --train spam.tsv --output my-spam-filter",
    "bert-numpy convert uncased_L-12_H-768_A-12.zip my-bert",
    "bert-numpy download bert-base-uncased",
    "bert-numpy bench --against transformers         how fast this package is, and how fast the reference",
)
EXIT_CODES = (
    "exit codes: 0 done, 1 a check failed or an input cannot be used, 2 wrong usage, 3 a file or model is missing"
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, the function that carries it out."""
    from .. import __version__

    parser = argparse.ArgumentParser(
        prog="bert-numpy",
        description=with_examples("BERT in NumPy: run it, look into it, check it.", EXAMPLES),
        epilog=EXIT_CODES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bert-numpy {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for add in (
        verify.add_verify,
        verify.add_export_goldens,
        model.add_inspect,
        text.add_tokenize,
        text.add_fill_mask,
        text.add_embed,
        answers.add_classify,
        answers.add_tag,
        answers.add_answer,
        answers.add_summarize,
        pretrain.add_pretrain,
        finetune.add_finetune,
        finetune.add_evaluate,
        finetune.add_predict,
        model.add_convert,
        model.add_download,
        bench.add_bench,
        exercises.add_exercises,
    ):
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if not given.
    """
    if sys.stdout is None:  # closed by the shell: there is nobody to print to
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  for as long as the process lives
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # texts are UTF-8, whatever the locale says
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace" if stream is sys.stderr else None)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    options = build_parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
            code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except UsageError as error:
        return _complain(options.command, error, 2)
    except (FileNotFoundError, NotADirectoryError) as error:
        return _complain(options.command, error, 3)
    except (ValueError, TypeError, OSError) as error:
        return _complain(options.command, error, 1)
    except MemoryError:
        return _complain(options.command, "not enough memory; use a smaller model or --batch-size", 1)


def _complain(command: str, error: object, code: int) -> int:
    if isinstance(error, OSError) and error.strerror and error.filename:  # not "[Errno 13] …: 'path'"
        error = f"{error.filename}: {error.strerror.lower()}"
    print(f"bert-numpy {command}: {error}", file=sys.stderr)
    return code
