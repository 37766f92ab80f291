"""The true distribution of every word of a window, given all its other words: exact, not estimated.

The law of a window is that of `sample_windows`: with probability 1/2 two consecutive runs of whole sentences of one
document, else one run each of two independent documents; documents as `Story.tell` draws them, boundaries uniform.
That overlong windows are drawn again divides all probabilities by one number, which is left away.
Everything a model cannot see is summed over: which stories, where in them the runs begin and end, whether the second
follows the first, the wordings, the rows of all tables, and with them the sentences that were cut away.  Pre-training
draws boundaries by another law (`google_pretraining.py`), which changes the mean surprisal by less than 1 in 10 000,
because nearly every sentence tells its place in its story; with a `max_length` of 96 it never cuts within a sentence.

How the sum is done.  A *reading* of a run says which story it is from, at which sentence it begins, and which wording
each sentence has; then every word is a fixed word of the wording or fills a known slot, and each slot that fills says
which rows of its table are possible.  Tables are independent, so the probability of the run under this reading is

    P(reading) Π_variables |rows that agree with all of its words| / |rows|

and that of the window a sum over its few readings.  The distribution at position i is this probability as a function
of the word at i, normalised.  A `[MASK]` elsewhere in the window is a word that nobody knows, and is summed over too.

*Entropy* here is one mask at a time: the mean over positions of -Σ_w p(w | rest) log p(w | rest), in nats, full stops
and commas included, special tokens not.  A position is *determined* if its true word has probability >= 0.99.

Source of the idea that a word is judged given all others: pseudo-likelihood (Besag, 1975).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from .corpus import Window
from .stories import STORIES, Slot, Story

MASK = "[MASK]"
DETERMINED = 0.99


def uniform_cut(num_sentences: int, boundaries: tuple[int, ...]) -> float:
    """Probability of these boundaries, all choices of so many different ones being equally likely.

    Examples
    --------
    >>> uniform_cut(3, (0, 3))
    0.16666666666666666
    """
    return 1 / math.comb(num_sentences + 1, len(boundaries))


class Reading:
    """One way in which a run of words can be a part of a story.

    Attributes
    ----------
    boundaries : tuple of int
        Between which sentences the run begins, ends, and, if it is two runs joined, is divided.
    prior : float
        Probability of the wordings.
    items : list of str or Slot
        For each word what stands there in the story.
    misses : list of int
        Positions whose word cannot stand there; at most one, since one position at a time is asked about.
    """

    def __init__(
        self, story: Story, boundaries: tuple[int, ...], prior: float, items: list[str | Slot], words: Sequence[str]
    ) -> None:
        self.story, self.boundaries, self.prior, self.items, self.words = story, boundaries, prior, items, words
        self.misses: list[int] = []
        self._rows: dict[str, list[tuple[int, int]]] = {}  # variable -> (position, rows that agree) of each word
        for i, (item, word) in enumerate(zip(items, words, strict=True)):
            if word == MASK:
                continue
            if isinstance(item, str):
                if item != word:
                    self.misses.append(i)
            else:
                rows = story.variables[item.variable].rows_with(item.column, word)
                self._rows.setdefault(item.variable, []).append((i, rows))
        self._shares = {variable: self._agree(variable).bit_count() / self._size(variable) for variable in self._rows}
        self._broken = [variable for variable, share in self._shares.items() if share == 0]

    def _size(self, variable: str) -> int:
        return len(self.story.variables[variable])

    def _agree(self, variable: str, leave_out: int | None = None) -> int:
        """The rows of a variable that agree with its words, without the one at `leave_out`."""
        agree = self.story.variables[variable].all_rows
        for i, rows in self._rows.get(variable, ()):
            if i != leave_out:
                agree &= rows
        return agree

    @property
    def possible(self) -> bool:
        """Whether the run, with at most one word changed, can be read so."""
        return len(self.misses) <= 1 and len(self._broken) <= 1

    def probability(self) -> float:
        """Of all the words together, under this reading."""
        return 0.0 if self.misses else self.prior * math.prod(self._shares.values())

    def candidates(self, position: int) -> Iterator[tuple[str, float]]:
        """The words that can stand at a position, each with the probability of the run with that word there."""
        if any(miss != position for miss in self.misses):
            return
        item = self.items[position]
        if isinstance(item, str):
            if not self._broken:
                yield item, self.prior * math.prod(self._shares.values())
            return
        if any(variable != item.variable for variable in self._broken):
            return
        others = math.prod(share for variable, share in self._shares.items() if variable != item.variable)
        agree = self._agree(item.variable, leave_out=position)
        scale = self.prior * others / self._size(item.variable)
        for word, rows in self.story.variables[item.variable].words(item.column).items():
            if count := (agree & rows).bit_count():
                yield word, scale * count


def read_run(words: Sequence[str], story: Story) -> Iterator[Reading]:
    """Every reading of a run of whole sentences as a part of a story, with at most one word that does not fit."""

    def extend(start: int, sentence: int, prior: float, items: list[str | Slot], misses: int) -> Iterator[Reading]:
        if len(items) == len(words):
            reading = Reading(story, (start, sentence), prior, items, words)
            if reading.possible:
                yield reading
        elif sentence < len(story.sentences):
            wordings = story.sentences[sentence]
            for wording in wordings:
                here = words[len(items) : len(items) + len(wording)]
                missed = misses + _count_misses(wording, here)
                if len(here) == len(wording) and missed <= 1:
                    yield from extend(start, sentence + 1, prior / len(wordings), [*items, *wording], missed)

    for start in range(len(story.sentences)):
        yield from extend(start, start, 1.0, [], 0)


def _count_misses(wording: Sequence[str | Slot], words: Sequence[str]) -> int:
    return sum(isinstance(item, str) and word not in (item, MASK) for item, word in zip(wording, words, strict=False))


def _joined(first: Reading, second: Reading) -> Reading:
    """The reading of both runs as one, in the same story."""
    boundaries = (*first.boundaries, second.boundaries[-1])
    words = (*first.words, *second.words)
    return Reading(first.story, boundaries, first.prior * second.prior, first.items + second.items, words)


class WindowTruth:
    """All that can be known about one window.

    Parameters
    ----------
    window : Window
    stories : sequence of Story
    cut : callable (number of sentences, boundaries) -> probability

    Examples
    --------
    >>> truth = WindowTruth(Window.of("the capital of france is [MASK] ."))
    >>> truth.distribution(6)
    {'paris': 1.0}
    """

    def __init__(
        self,
        window: Window,
        stories: Sequence[Story] = STORIES,
        cut: Callable[[int, tuple[int, ...]], float] = uniform_cut,
    ) -> None:
        self.window = window
        runs = [[r for story in stories for r in read_run(words, story)] for words in window if words]
        joined = []
        if window.second:
            joined = [
                reading
                for a in runs[0]
                for b in runs[1]
                if a.story is b.story and a.boundaries[1] == b.boundaries[0] and (reading := _joined(a, b)).possible
            ]

        def weighted(readings: list[Reading]) -> list[tuple[float, Reading]]:
            """Each reading with the probability of its story and its boundaries."""
            return [(cut(len(r.story.sentences), r.boundaries) / len(stories), r) for r in readings]

        self._runs = [weighted(run) for run in runs]
        self._joined = weighted(joined)

    def _total(self, readings: list[tuple[float, Reading]]) -> float:
        return math.fsum(weight * reading.probability() for weight, reading in readings)

    def probability(self) -> float:
        """Of this window among all windows with as many segments."""
        apart = math.prod(self._total(run) for run in self._runs)
        return (self._total(self._joined) + apart) / 2 if self.window.second else apart

    def next_sentence_probability(self) -> float:
        """That the second segment is what followed the first.

        Raises
        ------
        ValueError
            If there is no second segment, or the window cannot come from the world.
        """
        if not self.window.second:
            raise ValueError("this window has no second segment")
        total = self.probability()
        if total == 0:
            raise ValueError(f"no document of the world contains {' '.join(self.window.tokens)!r}")
        return self._total(self._joined) / (2 * total)

    def distribution(self, position: int) -> dict[str, float]:
        """The words that can stand at a position of `window.tokens`, most probable first, with their probabilities.

        What stands there now does not matter, be it `[MASK]` or a word.

        Raises
        ------
        ValueError
            If the position is that of a special token, or the rest of the window cannot come from the world.
        """
        places = self.window.positions
        if position not in places:
            raise ValueError(f"position {position} is not that of a word; these are {places[0]} to {places[-1]}")
        place = places.index(position)
        segment = int(place >= len(self.window.first))
        within = place - segment * len(self.window.first)
        rest = math.prod(self._total(run) for i, run in enumerate(self._runs) if i != segment)
        terms = [(weight, reading, place) for weight, reading in self._joined]
        terms += [(weight * rest, reading, within) for weight, reading in self._runs[segment] if rest]
        scores: dict[str, float] = {}
        for weight, reading, i in terms:
            for word, probability in reading.candidates(i):
                scores[word] = scores.get(word, 0.0) + weight * probability
        total = math.fsum(scores.values())
        if total == 0:
            raise ValueError(f"nothing can stand at position {position} of {' '.join(self.window.tokens)!r}")
        return {word: score / total for word, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))}

    def word_probabilities(self) -> list[float]:
        """For each of `window.positions`, the true probability of the word that stands there, given the rest.

        Examples
        --------
        >>> WindowTruth(Window.of("the sky is blue .")).word_probabilities()
        [1.0, 0.5, 1.0, 1.0, 1.0]
        """
        tokens = self.window.tokens
        return [self.distribution(position).get(tokens[position], 0.0) for position in self.window.positions]


def true_distribution(window: Window, position: int) -> dict[str, float]:
    """The exact distribution of the word at a position of `window.tokens`, given all other words of the window.

    Examples
    --------
    >>> true_distribution(Window.of("the [MASK] is blue ."), 2)
    {'sea': 0.5, 'sky': 0.5}
    >>> true_distribution(Window.of("anna has one egg in his red bag ."), 6)
    {'her': 1.0}
    """
    return WindowTruth(window).distribution(position)


class WorldStatistics(NamedTuple):
    """What the best possible model would reach on some windows; entropies in nats a word.

    Attributes
    ----------
    windows, words : int
    entropy : float
        Mean entropy of the true distributions, one mask at a time: what no model can undercut on average.
    surprisal : float
        Mean of -log p(true word | rest): the cross-entropy of the true distribution on just these windows, with which
        the cross-entropy of a model on the same windows is to be compared.
    determined : float
        Fraction of the words whose probability is at least 0.99.
    next_sentence_accuracy : float
        Expected accuracy of answering by the larger probability; nan if no window has two segments.
    """

    windows: int
    words: int
    entropy: float
    surprisal: float
    determined: float
    next_sentence_accuracy: float


def measure(windows: Iterable[Window]) -> WorldStatistics:
    """Entropy, determined fraction and next-sentence accuracy of the truth, averaged over windows without masks.

    Examples
    --------
    >>> statistics = measure([Window.of("the sky is blue .")])
    >>> statistics.words, statistics.determined, round(statistics.entropy, 4)
    (5, 0.8, 0.1386)
    """
    entropies, surprisals, next_sentence = [], [], []
    num_windows = 0
    for window in windows:
        num_windows += 1
        truth = WindowTruth(window)
        for position in window.positions:
            distribution = truth.distribution(position)
            entropies.append(-math.fsum(p * math.log(p) for p in distribution.values()))
            surprisals.append(-math.log(distribution[window.tokens[position]]))
        if window.second:
            probability = truth.next_sentence_probability()
            next_sentence.append(max(probability, 1 - probability))
    if not num_windows:
        raise ValueError("there is no window to measure")
    words = len(entropies)
    return WorldStatistics(
        windows=num_windows,
        words=words,
        entropy=math.fsum(entropies) / words,
        surprisal=math.fsum(surprisals) / words,
        determined=sum(s <= -math.log(DETERMINED) for s in surprisals) / words,
        next_sentence_accuracy=math.fsum(next_sentence) / len(next_sentence) if next_sentence else math.nan,
    )
