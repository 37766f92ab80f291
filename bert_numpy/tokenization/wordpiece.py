"""From one word to its pieces: greedy longest match against a vocabulary.

Here: `WordPiece`.  Not here: what a word is (`basic.py`), learning a vocabulary.  Read next: `analysis.py`.
"""

from __future__ import annotations

from collections.abc import Mapping


class WordPiece:
    """Cut words into the longest pieces that a vocabulary knows, from left to right.

    The first piece stands in the vocabulary as it is, each later one with the prefix "##".  A word that cannot be
    cut completely, or that is longer than `max_input_chars_per_word`, is one unknown token as a whole.

    Parameters
    ----------
    vocab : mapping of str to int
        Pieces and their ids.
    unk_token : str
        The token of unknown words; it must be in `vocab`.
    max_input_chars_per_word : int
        100 in the `tokenizers` library, 200 in Google's program.  Characters are counted after normalization.
    prefix : str
        The mark of a piece that continues a word.

    Notes
    -----
    At most n (n + 1) / 2 look-ups for n characters, and n is bounded by `max_input_chars_per_word`.
    Section 4.1 of Wu et al. 2016 (arXiv 1609.08144) has the model; the greedy matching is Google's BERT program's.

    Examples
    --------
    >>> pieces = WordPiece({"[UNK]": 0, "un": 1, "##aff": 2, "##able": 3})
    >>> pieces.split("unaffable")
    [(1, 0, 2), (2, 2, 5), (3, 5, 9)]
    >>> pieces.split("unstable")
    [(0, 0, 8)]
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        unk_token: str = "[UNK]",
        max_input_chars_per_word: int = 100,
        prefix: str = "##",
    ) -> None:
        self.vocab = vocab
        self.unk_token_id = vocab[unk_token]
        self.max_input_chars_per_word = max_input_chars_per_word
        self.prefix = prefix
        self._longest = max(map(len, vocab))

    def split(self, word: str) -> list[tuple[int, int, int]]:
        """Return the pieces of a word as (id, start, end), with `word[start:end]` the characters of the piece."""
        unknown = [(self.unk_token_id, 0, len(word))]
        if len(word) > self.max_input_chars_per_word:
            return unknown
        pieces = []
        start = 0
        while start < len(word):
            prefix = self.prefix if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                piece_id = self.vocab.get(prefix + word[start:end])
                if piece_id is not None:
                    break
            else:
                return unknown
            pieces.append((piece_id, start, end))
            start = end
        return pieces
