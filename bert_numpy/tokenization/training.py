"""Learn a WordPiece vocabulary from text, by likelihood or by frequency.

Both forms start from single characters and join, again and again, the best pair of neighbouring pieces into a new
piece.  They differ in what "best" means:

- "likelihood", the idea of WordPiece: freq(ab) / (freq(a) freq(b)).  It joins what is seldom apart, however rare.
- "frequency", what current tools do under the same name: freq(ab).  It joins what is often together.

Here: `train_wordpiece` and the pair counts behind it.  Not here: cutting words with the vocabulary (`wordpiece.py`),
writing it to a file (`write_vocab` in `vocabulary.py`).  Read next: `bert.py`, which takes the result as it is.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from .arguments import checked
from .basic import BasicTokenizer
from .vocabulary import check_tokens

ALGORITHMS = ("frequency", "likelihood")
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = 100  # `WordPiece` makes longer words [UNK], whatever the vocabulary knows of them

Pair = tuple[int, int]


def train_wordpiece(
    texts: Iterable[str],
    vocab_size: int = 30_000,
    *,
    algorithm: str = "frequency",
    min_frequency: int = 2,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    limit_alphabet: int | None = 1000,
    do_lower_case: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Return a vocabulary for the words of some texts: the tokens in the order of their ids.

    First the special tokens, then the characters, then the characters that continue a word ("##e"), both in the order
    of their code points, then the joined pieces in the order in which they were learned.

    Parameters
    ----------
    texts : iterable of str
        Read once; an open file does.
    vocab_size : int
        The largest number of tokens.  The list is shorter when no pair is left to join.
    algorithm : {"frequency", "likelihood"}
        How pairs are scored; see the top of this file.  A tie goes to the pair whose pieces are older.
    min_frequency : int
        A pair seen less often is never joined.
    special_tokens : sequence of str
    limit_alphabet : int, optional
        Only so many different characters are kept, the most frequent ones.  A character left out is passed over, so
        that its neighbours meet; the words that hold it will be [UNK].  None keeps all.
    do_lower_case, strip_accents, tokenize_chinese_chars
        How the texts are cut into words; see `BasicTokenizer`.  Tokenize with the same settings.
    progress : function of (tokens so far, vocab_size), optional
        Called after each new token.

    Raises
    ------
    TypeError
        If `texts` is one str, or holds something else than str.
    ValueError
        If there is no word in the texts, or `vocab_size` has no room for the characters.

    Notes
    -----
    The score "likelihood" is how many times more often a and b are neighbours than they would be by chance, up to a
    constant.  It is the usual form of the model of Schuster and Nakajima (2012) and of Wu et al. (2016, section 4.1),
    which chooses the piece that raises the likelihood of the texts most; the original program was never published.  It
    grows rare words letter by letter from their beginnings, where "frequency" finds common endings.

    "frequency" joins the pairs that `tokenizers` 0.23 joins (`BertWordPieceTokenizer.train`).  There the ids of
    the characters that continue a word change from run to run, and ties are decided by ids, so that two of its runs
    differ in a few of the last pieces from each other as they do from this one; here the same texts always give the
    same list.  Words of more than 100 characters, which would be [UNK] anyway, are not learned from.

    Examples
    --------
    "##i" and "##n" are neighbours most often, but each has other neighbours too; "q" is followed by "##u" alone.

    >>> text = ["king king kin sing sing quiz quiz"]
    >>> train_wordpiece(text, 20, special_tokens=["[UNK]"])[14:]
    ['##in', '##ing', 'king', 'qu', 'sing', '##iz']
    >>> train_wordpiece(text, 20, special_tokens=["[UNK]"], algorithm="likelihood")[14:]
    ['qu', '##ng', 'ki', 'si', '##iz', 'quiz']
    """
    checked("algorithm", algorithm, ALGORITHMS)
    check_tokens(special_tokens, "special token ")
    if min_frequency < 1 or (limit_alphabet is not None and limit_alphabet < 1):
        raise ValueError(f"min_frequency {min_frequency} and limit_alphabet {limit_alphabet} must be at least 1")
    words = count_words(texts, BasicTokenizer(do_lower_case, strip_accents, tokenize_chinese_chars))
    alphabet = _alphabet(words, limit_alphabet)
    tokens = list(dict.fromkeys([*special_tokens, *alphabet, *_continuations(words, alphabet)]))
    if len(tokens) > vocab_size:
        raise ValueError(
            f"vocab_size {vocab_size} has no room for {len(special_tokens)} special tokens and "
            f"{len(tokens) - len(special_tokens)} characters; use {len(tokens)} or more, or a smaller limit_alphabet"
        )
    return learn_pieces(words, tokens, vocab_size, algorithm, min_frequency, progress)


def count_words(texts: Iterable[str], basic: BasicTokenizer) -> Counter[str]:
    """Return how often each word of up to 100 characters occurs in the texts.

    Raises
    ------
    TypeError, ValueError
        If something is not a str, or if there is no word at all.

    Examples
    --------
    >>> count_words(["To be, or", "not to be"], BasicTokenizer()).most_common(2)
    [('to', 2), ('be', 2)]
    """
    if isinstance(texts, str):
        raise TypeError("texts is one str, and an iterable of them is wanted; for a single text write [text]")
    chunks: Counter[str] = Counter()
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {number} is of type {type(text).__name__}; texts must be str")
        chunks.update(basic.chunk_pattern.findall(text))
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in basic.words(chunk):
            if len(word) <= LONGEST_WORD:
                words[word] += count
    if not words:
        raise ValueError("the texts hold no word to learn from; are they empty?")
    return words


def learn_pieces(
    words: Mapping[str, int],
    tokens: Sequence[str],
    vocab_size: int,
    algorithm: str = "frequency",
    min_frequency: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Return `tokens` and the pieces that are learned by joining them, up to `vocab_size`.

    The best pair comes from a heap.  Joining it changes few scores: the pairs among its neighbours and, in the form
    "likelihood", the pairs of its two parts.  These go to the heap again; entries whose score is out of date are
    thrown away when they surface.

    Parameters
    ----------
    words : mapping of str to int
        Words and how often they occur.
    tokens : sequence of str
        To begin with, the characters among them; their order decides ties.

    Examples
    --------
    >>> learn_pieces({"ab": 3, "abab": 2}, ["a", "##a", "##b"], 5)
    ['a', '##a', '##b', 'ab', '##ab']
    """
    pieces = _Pieces(words, tokens)
    by_likelihood = algorithm == "likelihood"

    def entry(pair: Pair) -> tuple[float, Pair]:
        count = pieces.pair_counts[pair]
        if by_likelihood:  # both products are exact in a float, so that equal scores compare equal
            return -count / (pieces.counts[pair[0]] * pieces.counts[pair[1]]), pair
        return -count, pair

    heap = [entry(pair) for pair, count in pieces.pair_counts.items() if count >= min_frequency]
    heapq.heapify(heap)
    while heap and len(pieces.tokens) < vocab_size:
        best = heapq.heappop(heap)
        pair = best[1]
        if pieces.pair_counts.get(pair, 0) < min_frequency or best != entry(pair):
            continue
        changed = pieces.join(pair)
        if by_likelihood:  # whatever has changed has one of these in it
            changed = set().union(*(pieces.pairs_of[piece] for piece in {*pair, pieces.last_joined}))
        for pair in changed:
            if pieces.pair_counts.get(pair, 0) >= min_frequency:
                heapq.heappush(heap, entry(pair))
        if progress is not None:
            progress(len(pieces.tokens), vocab_size)
    return pieces.tokens


class _Pieces:
    """Words as sequences of pieces, with the counts of all pieces and of all pairs of neighbours.

    Attributes
    ----------
    tokens : list of str
        The pieces in the order of their ids.
    counts : list of int
        For each piece how often it occurs.
    pair_counts : dict of (int, int) to int
        For each pair of neighbours how often it occurs; pairs that occur no longer are not in it.
    pairs_of : list of set
        For each piece the pairs that it is, or was, part of.
    last_joined : int
        The id of the piece that `join` made.
    """

    def __init__(self, words: Mapping[str, int], tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self.words: list[list[int]] = []
        self.word_counts: list[int] = []
        self.counts = [0] * len(self.tokens)
        self.pair_counts: dict[Pair, int] = {}
        self.pairs_of: list[set[Pair]] = [set() for _ in self.tokens]
        self.places: dict[Pair, set[int]] = {}  # the words in which a pair is, or was
        self.last_joined = -1
        for word, count in words.items():
            forms = (char if place == 0 else "##" + char for place, char in enumerate(word))
            pieces = [self.ids[form] for form in forms if form in self.ids]
            for piece in pieces:
                self.counts[piece] += count
            self._add(pieces, len(self.words), count, changes=self.pair_counts)
            self.words.append(pieces)
            self.word_counts.append(count)

    def _add(self, pieces: list[int], place: int, count: int, changes: dict[Pair, int]) -> None:
        """Count the pairs of a word into `changes`, and note where they are."""
        for pair in pairwise(pieces):
            changes[pair] = changes.get(pair, 0) + count
            if pair not in self.places:
                self.places[pair] = set()
                self.pairs_of[pair[0]].add(pair)
                self.pairs_of[pair[1]].add(pair)
            self.places[pair].add(place)

    def join(self, pair: Pair) -> set[Pair]:
        """Join a pair wherever it stands, from the left, and return the pairs whose counts have changed."""
        left, right = pair
        token = self.tokens[left] + self.tokens[right].removeprefix("##")
        joined = self.ids.setdefault(token, len(self.tokens))  # "ab" + "c" and "a" + "bc" are one piece
        if joined == len(self.tokens):
            self.tokens.append(token)
            self.counts.append(0)
            self.pairs_of.append(set())
        self.last_joined = joined
        changes: dict[Pair, int] = {}
        for place in self.places.pop(pair):
            old, count = self.words[place], self.word_counts[place]
            new = _replace(old, left, right, joined)
            n_joined = len(old) - len(new)
            if n_joined:
                self.counts[left] -= n_joined * count
                self.counts[right] -= n_joined * count
                self.counts[joined] += n_joined * count
                for gone in pairwise(old):
                    changes[gone] = changes.get(gone, 0) - count
                self._add(new, place, count, changes)
                self.words[place] = new
        for changed, change in changes.items():
            count = self.pair_counts.pop(changed, 0) + change
            if count:
                self.pair_counts[changed] = count
        return {changed for changed, change in changes.items() if change}


def _replace(pieces: list[int], left: int, right: int, joined: int) -> list[int]:
    """Return a word with each `left`, `right` replaced by `joined`, from the left.

    >>> _replace([1, 1, 1, 2], 1, 1, 9)
    [9, 1, 2]
    """
    replaced = []
    place = 0
    while place < len(pieces):
        if pieces[place] == left and place + 1 < len(pieces) and pieces[place + 1] == right:
            replaced.append(joined)
            place += 2
        else:
            replaced.append(pieces[place])
            place += 1
    return replaced


def _alphabet(words: Mapping[str, int], limit: int | None) -> list[str]:
    """Return the characters of the words, or the most frequent ones, in the order of their code points."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for char in word:
            counts[char] += count
    return sorted(sorted(counts, key=lambda char: (-counts[char], char))[:limit])


def _continuations(words: Mapping[str, int], alphabet: Sequence[str]) -> list[str]:
    """Return "##c" for each character c of the alphabet that continues a word."""
    known = set(alphabet)
    return ["##" + char for char in sorted({char for word in words for char in word[1:]} & known)]
