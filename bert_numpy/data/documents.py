"""Text for pre-training: documents of sentences, read from files and turned into ids once.

A file holds one sentence per line and a blank line between documents.  A sentence need not be one in the grammarian's
sense; a document is text that belongs together, because the second segment of a pair is taken from it.

Here: `read_documents`, which streams, and `TokenizedDocuments`, which holds all ids in one array of 4 bytes each.
Not here: pairs and masks.  Read next: `google_pretraining.py`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..checkpoints import CheckpointError
from ..checkpoints.files import open_regular, shown

Document = Sequence[str]
FilePath = str | os.PathLike[str]


def read_documents(paths: FilePath | Sequence[FilePath], *, join_files: bool = False) -> Iterator[list[str]]:
    """Yield the documents of one or several files, each a list of sentences that are not empty.

    Parameters
    ----------
    paths : path or sequence of paths
    join_files : bool
        Let a document run on from one file into the next, as Google's script does.

    Raises
    ------
    FileNotFoundError
        If there is no such file; as all errors here, when the first document is asked for.
    ValueError
        If a file is a directory, holds no text, or is no UTF-8; the message names the line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "corpus.txt"
    >>> _ = path.write_text("It rains.\\nWe stay in.\\n\\nThe cat sleeps.\\n", encoding="utf-8")
    >>> list(read_documents(path))
    [['It rains.', 'We stay in.'], ['The cat sleeps.']]
    """
    document: list[str] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        is_empty = True
        for sentence in _stripped_lines(path):
            if sentence:
                is_empty = False
                document.append(sentence)
            elif document:
                yield document
                document = []
        if is_empty:
            raise ValueError(
                f"{shown(path)}: holds no text; write one sentence per line, a blank line between documents"
            )
        if document and not join_files:
            yield document
            document = []
    if document:
        yield document


def _stripped_lines(path: FilePath) -> Iterator[str]:
    """Yield the lines of a UTF-8 file without the white space around them; only "\\n" ends a line."""
    name = shown(path)
    try:
        with open_regular(path) as (file, _):
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    found = f"byte 0x{line[error.start]:02x} is not UTF-8"
                    raise ValueError(f"{name}, line {number}: {found}; save the text as UTF-8") from None
                if "\0" in text:
                    raise ValueError(f"{name}, line {number}: a NUL character, as in UTF-16; save the text as UTF-8")
                yield text.strip()
    except CheckpointError as error:  # the same checks; but this is no checkpoint
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(str(error)) from None


class TokenizedDocuments:
    """The ids of many documents, one after the other in one array.

    Parameters
    ----------
    documents : iterable of documents, each a sequence of sentences (str)
        Read once, so a generator such as `read_documents(path)` will do: the text is never held as a whole.
    tokenizer : BertTokenizer

    Attributes
    ----------
    ids : ndarray of shape (number of ids,), int32
    sentence_starts : ndarray of shape (number of sentences + 1,), int64
        Where each sentence starts in `ids`, and at the end `len(ids)`.
    document_starts : ndarray of shape (number of documents + 1,), int64
        Which sentence is the first of each document, and at the end the number of sentences.

    Raises
    ------
    TypeError
        If a document is a str, or a sentence is not.
    ValueError
        If a document has no sentence, or nothing is left at all.

    Notes
    -----
    A sentence of which no token is left (control characters, say) is passed over; so is a document of such sentences.

    Examples
    --------
    >>> from bert_numpy.tokenization import BertTokenizer
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"])
    >>> documents = TokenizedDocuments([["a b", "c"], ["b"]], tokenizer)
    >>> documents.ids.tolist(), documents.sentence_starts.tolist(), documents.document_starts.tolist()
    ([5, 6, 7, 6], [0, 2, 3, 4], [0, 2, 3])
    >>> documents.sentences(0)
    [[5, 6], [7]]
    """

    def __init__(self, documents: Iterable[Document], tokenizer: Any) -> None:
        if isinstance(documents, str | os.PathLike):
            raise TypeError("documents is one str or path; give lists of sentences, or read_documents(path)")
        ids = array("i")
        sentence_starts = array("q", [0])
        document_starts = array("q", [0])
        for number, document in enumerate(documents):
            for sentence in _checked(document, number):
                ids.extend(tokenizer.encode(sentence, add_special_tokens=False, truncation=False))
                if len(ids) > sentence_starts[-1]:
                    sentence_starts.append(len(ids))
            if len(sentence_starts) - 1 > document_starts[-1]:
                document_starts.append(len(sentence_starts) - 1)
        if not ids:
            raise ValueError("the documents hold no token to learn from; are they empty?")
        self.ids = np.frombuffer(ids, np.int32)
        self.sentence_starts = np.frombuffer(sentence_starts, np.int64)
        self.document_starts = np.frombuffer(document_starts, np.int64)

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.document_starts) - 1

    def sentences(self, number: int) -> list[list[int]]:
        """Return the ids of one document, a list for each sentence."""
        first, last = self.document_starts[number : number + 2]
        bounds = self.sentence_starts[first : last + 1]
        return [self.ids[start:end].tolist() for start, end in pairwise(bounds)]

    def __repr__(self) -> str:
        return (
            f"TokenizedDocuments({len(self)} documents, {len(self.sentence_starts) - 1} sentences, {len(self.ids)} ids)"
        )


def _checked(document: Document, number: int) -> Document:
    if isinstance(document, str):
        raise TypeError(f"document {number} is a str; a document is a list of sentences")
    if not len(document):
        raise ValueError(f"document {number} has no sentence; leave it out")
    for place, sentence in enumerate(document):
        if not isinstance(sentence, str):
            raise TypeError(f"document {number}, sentence {place}: is of type {type(sentence).__name__}, not str")
    return document
