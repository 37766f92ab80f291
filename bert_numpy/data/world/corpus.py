"""Documents of the small world, as many as wanted, and windows of them as a model sees them.

Documents are drawn with `random.Random(seed)`, of which only the method `random()` is used: Python promises its
sequence for every version, so a seed gives the same corpus everywhere, whatever the version of NumPy.  Training and
held-out documents come from different seeds of that generator (even and odd ones).  They are independent draws; the
story with the fewest documents has some four million, so that hardly one held-out document was ever trained on.

Here: drawing and writing documents, the vocabulary, windows.  Read next: `truth.py`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from ...checkpoints.files import replacing
from .stories import STORIES, Story, draw

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPLITS = ("train", "held_out")
LONGEST = 80  # tokens of a window, the special ones included


def seeded_generator(seed: int, split: str = "train") -> random.Random:
    """The random generator of a split.

    Raises
    ------
    ValueError
        If the split is neither "train" nor "held_out", or the seed is not a whole number from 0 on.

    Examples
    --------
    >>> seeded_generator(7).random() == seeded_generator(7, "held_out").random()
    False
    """
    if split not in SPLITS:
        raise ValueError(f"the split is {split!r}; it can be {' or '.join(SPLITS)}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"the seed is {seed!r}; it must be a whole number, 0 or more")
    return random.Random(2 * seed + SPLITS.index(split))


def generate_documents(num_documents: int, seed: int, split: str = "train") -> Iterator[list[str]]:
    """Draw documents one after the other, so that the first ten are the same however many are asked for.

    Parameters
    ----------
    num_documents : int
    seed : int
    split : "train" or "held_out"

    Yields
    ------
    list of str
        The sentences of one document; words and full stops are separated by single spaces.

    Examples
    --------
    >>> for sentence in next(generate_documents(1, seed=4)):
    ...     print(sentence)
    julia was born in december .
    december is a winter month .
    the month after december is january .
    the birthday of her clever mother is in january .
    this year julia wants the green shirt .
    """
    if num_documents < 1:
        raise ValueError(f"num_documents is {num_documents}; ask for at least 1")
    rng = seeded_generator(seed, split)
    return (STORIES[draw(rng, len(STORIES))].tell(rng) for _ in range(num_documents))


def write_corpus(path: str | os.PathLike[str], num_documents: int, seed: int, split: str = "train") -> int:
    """Write documents as pre-training reads them: one sentence a line, an empty line between documents, UTF-8.

    Returns
    -------
    int
        How many words and full stops were written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     count = write_corpus(pathlib.Path(folder, "world.txt"), 100, seed=0)
    ...     count == len(pathlib.Path(folder, "world.txt").read_text(encoding="utf-8").split())
    True
    """
    count = 0
    documents = generate_documents(num_documents, seed, split)
    with replacing(path) as file:
        for number, sentences in enumerate(documents):
            text = "\n".join(sentences) + "\n"
            count += len(text.split())
            file.write((("\n" if number else "") + text).encode("utf-8"))
    return count


def world_vocabulary() -> list[str]:
    """Every token of the world, the five special ones first, then the words in alphabetical order.

    Examples
    --------
    >>> vocabulary = world_vocabulary()
    >>> vocabulary[:7]
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ',', '.']
    >>> len(vocabulary)
    504
    """
    return [*SPECIAL_TOKENS, *sorted(set().union(*(story.words() for story in STORIES)))]


class Window(NamedTuple):
    """What a model sees at once: `[CLS] first [SEP] second [SEP]`, or `[CLS] first [SEP]` if there is no second.

    Attributes
    ----------
    first, second : tuple of str
        The words of each segment, full stops among them.
    """

    first: tuple[str, ...]
    second: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        """The whole sequence.

        Examples
        --------
        >>> " ".join(Window.of("the sky is blue .").tokens)
        '[CLS] the sky is blue . [SEP]'
        """
        return ("[CLS]", *self.first, "[SEP]", *((*self.second, "[SEP]") if self.second else ()))

    @property
    def positions(self) -> tuple[int, ...]:
        """Where in `tokens` the words are.

        Examples
        --------
        >>> Window.of("go .", "run .").positions
        (1, 2, 4, 5)
        """
        return tuple(i for i, token in enumerate(self.tokens) if token not in ("[CLS]", "[SEP]"))

    @classmethod
    def of(cls, first: str, second: str = "") -> Window:
        """The window of one or two texts, whose words and full stops are separated by spaces.

        Examples
        --------
        >>> Window.of("go .", "run .")
        Window(first=('go', '.'), second=('run', '.'))
        """
        return cls(tuple(first.split()), tuple(second.split()))

    @classmethod
    def from_tokens(cls, tokens: Sequence[str]) -> Window:
        """The window of a sequence; padding at its end is left away.

        Raises
        ------
        ValueError
            If the sequence is not of one of the two forms.

        Examples
        --------
        >>> Window.from_tokens("[CLS] go . [SEP] run . [SEP] [PAD]".split())
        Window(first=('go', '.'), second=('run', '.'))
        """
        text = list(tokens)
        while text and text[-1] == "[PAD]":
            text.pop()
        segments: list[tuple[str, ...]] = []
        if text[:1] == ["[CLS]"] and text[-1] == "[SEP]":
            ends = [i for i, token in enumerate(text) if token == "[SEP]"]
            starts = [0, *ends[:-1]]
            segments = [tuple(text[start + 1 : end]) for start, end in zip(starts, ends, strict=True)]
        if len(segments) not in (1, 2) or not all(segments):
            forms = "'[CLS] words [SEP]' or '[CLS] words [SEP] words [SEP]'"
            raise ValueError(f"{' '.join(tokens)!r} is not a window; it must be {forms}")
        return cls(*segments)


def sample_windows(num_windows: int, seed: int, split: str = "held_out") -> Iterator[tuple[Window, bool]]:
    """Draw windows by the law that `truth.py` is exact for, with the answer whether the second segment follows.

    One half: a story, its document, and three different boundaries between sentences, all equally likely; the first
    segment lies between the first two, the second between the last two.  The other half: both segments from documents
    of their own, each between two boundaries, all equally likely.  A window of more than `LONGEST` tokens is drawn
    again: pre-training makes one such pair in a thousand, so a model hardly learns those positions.  The truth stays
    exact, because how long a window is can be seen.

    Yields
    ------
    (Window, bool)
        True if the second segment is what follows the first.
    """
    rng = seeded_generator(seed, split)
    drawn = 0
    while drawn < num_windows:
        follows = rng.random() < 0.5
        cuts = 3 if follows else 2
        segments = _segments(rng, STORIES, cuts)
        window = Window(*(segments if follows else segments + _segments(rng, STORIES, cuts)))
        if len(window.tokens) <= LONGEST:
            drawn += 1
            yield window, follows


def _segments(rng: random.Random, stories: Sequence[Story], cuts: int) -> list[tuple[str, ...]]:
    """The words between `cuts` different boundaries of a new document."""
    sentences = stories[draw(rng, len(stories))].tell(rng)
    boundaries = list(range(len(sentences) + 1))
    chosen = sorted(boundaries.pop(draw(rng, len(boundaries))) for _ in range(cuts))
    return [tuple(" ".join(sentences[a:b]).split()) for a, b in pairwise(chosen)]
