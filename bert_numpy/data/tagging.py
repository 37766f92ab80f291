"""Words with a tag each: files in the style of CoNLL, and tags for pieces of words.

Here: `read_conll`, `tokenize_and_align_labels`.  Not here: scores for whole entities (`training/tagging_metrics.py`).
Read next: `question_answering.py`.

    train = read_conll("train.txt")
    encoded = train.map(lambda e: tokenize_and_align_labels(e, tokenizer), batched=True,
                        remove_columns=train.column_names)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..checkpoints.files import shown
from ..tokenization import BatchEncoding, BertTokenizer
from .dataset import Dataset
from .labels import LabelMap
from .text_files import PathLike, read_lines

IGNORED = -100
"""The label of what does not count in the loss."""


def read_conll(
    path: PathLike,
    *,
    token_column: int = 0,
    label_column: int | None = -1,
    delimiter: str | None = None,
    comment: str | None = None,
    labels: LabelMap | Mapping[Any, Any] | Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Read sentences with one word on a line and an empty line after each sentence.

    Lines that begin with -DOCSTART- separate documents and are passed over.

    Parameters
    ----------
    path : path
    token_column, label_column : int
        Which of the columns, from 0 at the left or -1 at the right.  `label_column=None` reads words alone.
    delimiter : str, optional
        What separates columns; a run of spaces and tabs if not given.
    comment : str, optional
        What begins a line to pass over between sentences, such as "#" in CoNLL-U.
    labels : LabelMap, label2id, id2label or names, optional
        The tags that may occur; pass those of the training data when reading others.
    encoding : str

    Returns
    -------
    Dataset
        The columns "tokens", lists of str, and "tags", lists of int; `dataset.labels` names the tags.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and the line: not as many columns as on the first line, an empty word, an unknown tag.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dev.txt"
    >>> _ = path.write_text("Rome NNP B-LOC\\nis VBZ O\\n\\nYes UH O\\n", encoding="utf-8")
    >>> dataset = read_conll(path)
    >>> dataset[0], dataset.labels
    ({'tokens': ['Rome', 'is'], 'tags': [0, 1]}, LabelMap(['B-LOC', 'O']))
    """
    name = shown(path)
    sentences = _sentences(name, read_lines(path, encoding), delimiter, comment)
    if not sentences:
        raise ValueError(f"{name}: holds no sentence")
    line, first = sentences[0][0]
    for what, column in (("token", token_column), ("label", label_column)):
        if column is not None and not -len(first) <= column < len(first):
            raise ValueError(f"{name}, line {line}: has {len(first)} columns, but {what}_column={column} is asked for")
    if label_column is not None and token_column % len(first) == label_column % len(first):
        raise ValueError(f"{name}, line {line}: token_column and label_column are the same column, {token_column}")
    tokens = [[cells[token_column] for _, cells in sentence] for sentence in sentences]
    if label_column is None:
        return Dataset({"tokens": tokens})
    if labels is None:
        known = LabelMap.from_values(cells[label_column] for sentence in sentences for _, cells in sentence)
    else:
        known = LabelMap.of(labels)
    tags = []
    for sentence in sentences:
        tags.append([_tag(f"{name}, line {line}", cells[label_column], known) for line, cells in sentence])
    return Dataset({"tokens": tokens, "tags": tags}, known)


def tokenize_and_align_labels(
    examples: Mapping[str, Any],
    tokenizer: BertTokenizer,
    *,
    max_length: int | None = None,
    label_all_tokens: bool = False,
    labels: LabelMap | None = None,
    stride: int | None = None,
) -> BatchEncoding:
    """Encode sentences of words and give every piece a label.

    The first piece of a word has the tag of the word, the others -100, as have [CLS] and [SEP].

    Parameters
    ----------
    examples : mapping
        The columns "tokens" and, if there are labels, "tags" of several sentences.
    tokenizer : BertTokenizer
    max_length : int, optional
        Longer sentences are cut.  Words that are cut off, or that have no piece at all, are not among the labels.
    label_all_tokens : bool
        Whether the further pieces of a word have its tag as well.
    labels : LabelMap, optional
        With `label_all_tokens`: the further pieces of a word tagged B-X have I-X, where the map knows it, so that a
        word stays one entity.
    stride : int, optional
        Cut sentences into windows of `max_length` that share so many pieces, instead of losing their ends; the column
        "overflow_to_sample_mapping" says whose they are.  A shared piece has its label in the first of them.

    Returns
    -------
    BatchEncoding
        The inputs of the model and "labels".

    Examples
    --------
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "we", "play", "##ed"])
    >>> tokenize_and_align_labels({"tokens": [["We", "played"]], "tags": [[0, 1]]}, tokenizer)["labels"]
    [[-100, 0, 1, -100, -100]]
    """
    if stride is not None and tokenizer.truncation_side != "right":
        raise ValueError("windows over sentences need a tokenizer with truncation_side='right'")
    batch = tokenizer(
        list(examples["tokens"]),
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        stride=stride or 0,
        return_overflowing_tokens=stride is not None,
    )
    if "tags" in examples:
        sample_of = batch.get("overflow_to_sample_mapping", range(len(examples["tags"])))
        inside = _continuations(labels) if label_all_tokens else None
        rows: list[list[int]] = []
        previous: int | None = None  # the word of the last piece, be it at the end of the window before
        for window, sample in enumerate(sample_of):
            is_further = window > 0 and sample_of[window - 1] == sample
            previous = previous if is_further else None
            shared = (stride or 0) if is_further else 0
            row, previous = _piece_labels(batch.word_ids(window), examples["tags"][sample], shared, previous, inside)
            rows.append(row)
        batch["labels"] = rows
    return batch


def _piece_labels(
    word_ids: Sequence[int | None], tags: Sequence[int], shared: int, previous: int | None, inside: Any
) -> tuple[list[int], int | None]:
    """The labels of one window, and the word of its last piece.

    Its first `shared` pieces have been labelled in the window before.  `inside` maps the tag of a word to that of its
    further pieces; None leaves them without.
    """
    row = []
    for word in word_ids:
        if word is None or shared > 0:
            row.append(IGNORED)
            shared -= word is not None
            continue
        if word != previous:
            row.append(tags[word])
        else:
            row.append(IGNORED if inside is None else inside.get(tags[word], tags[word]))
        previous = word
    return row, previous


def _sentences(
    name: str, lines: list[str], delimiter: str | None, comment: str | None
) -> list[list[tuple[int, list[str]]]]:
    """The (line number, cells) of every word, by sentence."""
    sentences: list[list[tuple[int, list[str]]]] = []
    words: list[tuple[int, list[str]]] = []
    width, first = 0, 0
    for number, line in enumerate(lines, 1):
        is_comment = comment is not None and not words and line.startswith(comment)
        if not line.strip() or line.startswith("-DOCSTART-") or is_comment:
            if words:
                sentences.append(words)
            words = []
            continue
        cells = line.replace("\t", " ").split(" ") if delimiter is None else line.split(delimiter)
        cells = [cell for cell in cells if cell] if delimiter is None else cells
        width, first = width or len(cells), first or number
        if len(cells) != width:
            raise ValueError(f"{name}, line {number}: has {len(cells)} columns, but line {first} has {width}")
        if not all(cells):
            raise ValueError(f"{name}, line {number}: column {cells.index('')} is empty")
        words.append((number, cells))
    return [*sentences, words] if words else sentences


def _tag(place: str, tag: str, known: LabelMap) -> int:
    try:
        return known.id_of(tag)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _continuations(labels: LabelMap | None) -> dict[int, int]:
    """From the number of B-X to that of I-X, for every X that has both."""
    ids = {} if labels is None else labels.label2id
    inside = {name: ids.get(f"I-{name[2:]}") for name in ids if name.startswith("B-")}
    return {ids[name]: i for name, i in inside.items() if i is not None}
