"""What the cases are measured on: ids, sentences of mixed length, and a text to tokenize.

No text ships with this package, so sentences and text are drawn unless files of yours are given.  The lengths of
drawn sentences are those of English Wikipedia.  A drawn text consists of words of the vocabulary, the first ones most
often (the published vocabularies are sorted by frequency); it holds none of the names, numbers and rare words of a
real one, so figures to be quoted want a real text and its real vocabulary.

Here: making and writing the inputs that both sides then read.  Not here: the weights (`worker.py`).
Read next: `measures.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..configuration import BertConfig
from ..tokenization import BertTokenizer
from .cases import Case
from .serving import text_lines, write_arrays

SENTENCES = 64
LONGEST_TEXT = 1_000_000  # characters that are read of a text
DRAWN_TEXT = 200_000  # characters of a text that is drawn


def sentence_lengths(longest: int = 512) -> np.ndarray:
    """Lengths in tokens, [CLS] and [SEP] included, of 64 sentences as Wikipedia has them.

    9,209 sentences of English Wikipedia, cut by bert-base-uncased: ln(length) has mean 3.31 and standard deviation
    0.47; 64 of them make 1,941 tokens and the longest has 78, so that 60 % of a padded batch is padding.  These are
    64 numbers of the log-normal distribution with that mean and deviation; the seed is one whose sum (1,949), longest
    (76) and padding (60 %) agree with that.

    Parameters
    ----------
    longest : int
        Longer ones are cut.

    Returns
    -------
    integer ndarray of shape (64,)

    Examples
    --------
    >>> lengths = sentence_lengths()
    >>> int(lengths.sum()), int(lengths.max())
    (1949, 76)
    """
    drawn = np.random.default_rng(21).lognormal(3.31, 0.47, SENTENCES)
    return np.clip(drawn.round().astype(np.int64), 5, min(96, longest))


def drawn_text(tokens: Sequence[str], size: int = DRAWN_TEXT) -> str:
    """A text of at least `size` characters from the words of a vocabulary, a sentence a line.

    The word of rank r is drawn in proportion to 1/(r + 3); one word in ten is lengthened by a "##" piece.

    Raises
    ------
    ValueError
        If the vocabulary has no words.

    Examples
    --------
    >>> text = drawn_text(["[PAD]", "the", "cat", "##s", "."], size=500)
    >>> sorted(set(text.lower().replace(".", " ").split()))
    ['cat', 'cats', 'the', 'thes']
    """
    words = [token for token in tokens if token.isalpha()]
    endings = [token[2:] for token in tokens if token.startswith("##") and token[2:].isalpha()] or [""]
    if not words:
        raise ValueError("the vocabulary has no words to draw a text from; give --text FILE, or another --vocab")
    rng = np.random.default_rng(0)
    chances = 1 / (np.arange(len(words)) + 3)
    lines: list[str] = []
    length = 0
    while length < size:
        count = max(3, round(rng.lognormal(3.0, 0.5)))
        chosen = rng.choice(len(words), count, p=chances / chances.sum())
        ending = [endings[i] if lengthened else "" for i, lengthened in
                  zip(rng.integers(len(endings), size=count), rng.random(count) < 0.1, strict=True)]  # fmt: skip
        sentence = " ".join(words[i] + end for i, end in zip(chosen, ending, strict=True))
        lines.append(f"{sentence[0].upper()}{sentence[1:]}.\n")
        length += len(lines[-1])
    return "".join(lines)


def read_text(path: Path, longest: int | None = None) -> str:
    """A text file, up to the last line that ends within the first `longest` characters.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is empty or not UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (byte {error.start}); convert the file") from None
    if longest is not None and len(text) > longest:
        text = text[: text.rfind("\n", 0, longest) + 1 or longest]
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; it should hold text")
    return text


def fixed_inputs(shape: tuple[int, int], vocab_size: int) -> dict[str, np.ndarray]:
    """Random ids of one length, nothing padded.

    Returns
    -------
    dict
        `input_ids` and `attention_mask` of shape (B, S), `labels` of shape (B,), 0 or 1.
    """
    rng = np.random.default_rng(0)
    input_ids = rng.integers(1, vocab_size, shape)
    return {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids), "labels": rng.integers(0, 2, shape[0])}


def drawn_sentences(config: BertConfig) -> dict[str, np.ndarray]:
    """Random ids in 64 sentences of the lengths of `sentence_lengths`, padded to one batch."""
    rng = np.random.default_rng(1)
    lengths = sentence_lengths(config.max_position_embeddings)
    return padded([rng.integers(1, config.vocab_size, n).tolist() for n in lengths], config.pad_token_id or 0)


def read_sentences(path: Path, tokenizer: BertTokenizer, config: BertConfig) -> dict[str, np.ndarray]:
    """The first 64 lines of a file that are not blank, tokenized and padded to one batch.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file cannot be read or has fewer lines, or the tokenizer's ids are beyond the model's vocabulary.
    """
    lines = text_lines(read_text(path))[:SENTENCES]
    if len(lines) < SENTENCES:
        raise ValueError(f"{path}: holds {len(lines)} lines that are not blank; {SENTENCES} sentences are needed")
    rows = tokenizer(lines, truncation=True, max_length=config.max_position_embeddings)["input_ids"]
    largest = max(max(row) for row in rows)
    if largest >= config.vocab_size:
        raise ValueError(
            f"{path}: the tokenizer gives the id {largest}, but the model has {config.vocab_size} words; "
            "give the vocabulary of the model with --vocab"
        )
    return padded(rows, config.pad_token_id or 0)


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> dict[str, np.ndarray]:
    """Sequences of ids as one batch.

    Examples
    --------
    >>> padded([[5, 6, 7], [8]], pad_id=0)["input_ids"]
    array([[5, 6, 7],
           [8, 0, 0]])
    """
    shape = len(rows), max(len(row) for row in rows)
    input_ids, attention_mask = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = row
        attention_mask[i, : len(row)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": np.zeros(len(rows), np.int64)}


class Workspace:
    """A temporary folder with what the cases read: the checkpoint, the tokenizer, ids and a text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint"
        self.tokenizer = folder / "tokenizer"
        self.text = folder / "text.txt"

    def write_text(self, text: str, tokenizer: BertTokenizer) -> None:
        tokenizer.save_pretrained(self.tokenizer)
        self.text.write_text(text, encoding="utf-8", newline="\n")

    def write_ids(self, case: Case, inputs: dict[str, np.ndarray]) -> None:
        write_arrays(self.ids(case), inputs)

    def ids(self, case: Case) -> Path:
        """The inputs of a case; cases of the same shape share them."""
        name = "sentences" if case.shape is None else "x".join(map(str, case.shape))
        return self.folder / f"{name}.npz"

    def describe(self, case: Case) -> dict[str, str]:
        """A case as a worker needs it."""
        return {
            "kind": case.kind,
            "checkpoint": str(self.checkpoint),
            "inputs": str(self.ids(case)),
            "tokenizer": str(self.tokenizer),
            "text": str(self.text),
        }
