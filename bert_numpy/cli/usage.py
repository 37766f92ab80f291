"""Arguments that several commands take, and the texts that they name."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DEFAULT_MODEL = "small-world"


def add_command(commands: Any, name: str, summary: str, description: str, *examples: str) -> argparse.ArgumentParser:
    """A command whose help starts with what it does and how it is called."""
    return commands.add_parser(
        name, help=summary, description=with_examples(description, examples), formatter_class=HelpFormatter
    )


def with_examples(description: str, examples: Sequence[str]) -> str:
    """A description, wrapped, and the examples below it."""
    return "\n".join([*textwrap.wrap(description, 88), "", "examples:", *(f"  {example}" for example in examples)])


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples, and the help of a command beside its name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


class UsageError(ValueError):
    """Arguments that do not go together; ends with exit code 2."""


def positive(text: str) -> int:
    """An argument that must be a whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return value


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model`, and a note about the default one."""
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        help="a folder with config.json, weights and a tokenizer, or the name of a model that ships or is published "
        f"(default: {DEFAULT_MODEL}, which knows 500 words)",
    )


def model_folder(options: argparse.Namespace) -> Path:
    """The folder of the model that the options name, downloaded if need be, with progress on a terminal."""
    from ..hub import find_model
    from ..hub.progress import TerminalReporter

    return find_model(options.model or DEFAULT_MODEL, progress=TerminalReporter())


def add_texts(parser: argparse.ArgumentParser, what: str) -> None:
    """Texts as arguments, or `--input` with one text a line; neither means stdin."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help=f"{what}; without any, lines are read from stdin")
    parser.add_argument("--input", metavar="FILE", help="read one text a line from this file; - is stdin")


def note_default_model(options: argparse.Namespace) -> None:
    """Say on stderr that the default model knows little."""
    if (options.model or DEFAULT_MODEL) == DEFAULT_MODEL:
        print(
            f"note: {DEFAULT_MODEL} knows 500 words of a small world; give another with --model FOLDER", file=sys.stderr
        )


def texts_of(options: argparse.Namespace) -> list[str]:
    """The texts that the options name.

    Raises
    ------
    UsageError
        If there are both arguments and a file.
    FileNotFoundError, ValueError
        If the file is missing or not UTF-8.
    """
    if options.texts and options.input:
        raise UsageError("give texts as arguments or with --input, not both")
    if options.texts:
        return [_argument(text) for text in options.texts]
    source = options.input or "-"
    if source == "-":
        if sys.stdin is None:
            raise UsageError("stdin is closed; give texts as arguments or with --input")
        return _lines(sys.stdin.buffer.read, "stdin")
    if Path(source).is_dir():
        raise UsageError(f"--input {source} is a folder; give a file")
    if not Path(source).exists():
        raise FileNotFoundError(f"no file {source}")
    return _lines(Path(source).read_bytes, source)


def _argument(text: str) -> str:
    """An argument as UTF-8, whatever the locale made of its bytes."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise ValueError(f"the argument {text[:60]!r} is not UTF-8; give such texts with --input") from None


def _lines(read: Callable[[], bytes], where: str) -> list[str]:
    """Lines end at a newline only: other separators of Unicode may stand inside a text."""
    content = read().removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{where}:{number}: not UTF-8 (byte {line[error.start]:#04x}); convert the file") from None
    return texts


class TerminalLine:
    """Shows one line that overwrites itself; where stderr is no terminal, nothing."""

    def __init__(self) -> None:
        self._width = 0

    def __call__(self, line: str) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            print(f"\r{line.ljust(self._width)}", end="", file=sys.stderr, flush=True)
            self._width = len(line)

    def clear(self) -> None:
        """Leave an empty line for what is printed next."""
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
            self._width = 0
