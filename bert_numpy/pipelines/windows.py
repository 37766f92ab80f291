"""Texts longer than the model can read are read through windows that overlap.

    tokens    [CLS] a b c d e f g [SEP]       max_length 6, stride 2
    window 0  [CLS] a b c d       [SEP]
    window 1  [CLS]     c d e f   [SEP]       neighbours share 2 tokens
    window 2  [CLS]         e f g [SEP]

Every pipeline says how it puts the windows together: `classification.py` means, `tagging.py` chooses for every token,
`answering.py` lets the windows compete.

Here: `Windowed`, one input and its windows.  Not here: models.  Read next: `classification.py`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..tokenization import Encoding
from ..tokenization.truncation import windows


class Windowed:
    """One text or pair of texts, and the windows through which a model reads it.

    Parameters
    ----------
    encoding : Encoding
        Of the whole input, not truncated and not padded.
    max_length : int
        The longest sequence, special tokens included.
    stride : int, optional
        How many tokens neighbouring windows share; a quarter of what a window holds of the text if not given.
    slides : int, optional
        Which text (0 or 1) the windows slide over; the other is whole in each.  The longer one if not given.

    Attributes
    ----------
    positions : list of int arrays
        For each window, the positions of its tokens in the whole input.
    spans : list of (start, stop)
        For each window, which tokens of the text that slides it holds.
    text_positions : int array
        The positions of that text in the whole input.

    Raises
    ------
    ValueError
        If the other text leaves no room, or the stride leaves no way forward.

    Examples
    --------
    >>> from bert_numpy import BertTokenizer
    >>> tokenizer = BertTokenizer.from_pretrained("tiny-random")
    >>> text = Windowed(tokenizer("a b c d e f g")[0], max_length=6, stride=2)
    >>> text.spans, text.new_tokens()
    ([(0, 4), (2, 6), (4, 7)], [4, 2, 1])
    >>> tokenizer.convert_ids_to_tokens(text.rows()[1]["input_ids"])
    ['[CLS]', 'c', 'd', 'e', 'f', '[SEP]']
    """

    def __init__(
        self, encoding: Encoding, max_length: int, stride: int | None = None, slides: int | None = None
    ) -> None:
        self.encoding = encoding
        texts = np.array([-1 if s is None else s for s in encoding.sequence_ids])
        counts = [int((texts == number).sum()) for number in range(encoding.n_sequences)]
        slides = int(np.argmax(counts)) if slides is None else slides
        self.text_positions = np.flatnonzero(texts == slides)
        n, total = len(self.text_positions), len(texts)
        if total <= max_length:
            self.spans, self.positions = [(0, n)], [np.arange(total)]
            return
        room = max_length - (total - n)
        if room < 1:
            raise ValueError(
                f"the other text and the special tokens take {total - n} of the {max_length} tokens of a window and "
                "leave no room; shorten that text or use a larger max_length"
            )
        stride = room // 4 if stride is None else stride
        if not 0 <= stride < room:
            raise ValueError(f"stride {stride} must lie between 0 and {room - 1}: a window holds {room} of the text")
        self.spans = windows(n, room, stride)
        first, last = self.text_positions[0], self.text_positions[-1] + 1
        before, after = np.arange(first), np.arange(last, total)
        self.positions = [np.concatenate([before, self.text_positions[a:b], after]) for a, b in self.spans]

    def rows(self) -> list[dict[str, Any]]:
        """The inputs of the model for each window: dicts of lists."""
        ids, type_ids = np.array(self.encoding.ids), np.array(self.encoding.type_ids)
        return [
            {
                "input_ids": ids[p].tolist(),
                "token_type_ids": type_ids[p].tolist(),
                "attention_mask": [1] * len(p),
            }
            for p in self.positions
        ]

    def new_tokens(self) -> list[int]:
        """For each window, how many of its tokens no window before it has; 1 for the only window of an empty text."""
        stops = [0, *(stop for _, stop in self.spans)]
        return [max(stop - before, 1) for before, stop in pairwise(stops)]

    def best_windows(self) -> np.ndarray:
        """For each token of the text that slides, the window in which it is farthest from an edge; the first of equals.

        An edge is where the window cuts the text: its beginning and its end are none.

        Returns
        -------
        int ndarray of shape (tokens,)
        """
        n = len(self.text_positions)
        place = np.arange(n)
        distances = np.full((len(self.spans), n), -1)
        for row, (start, stop) in zip(distances, self.spans, strict=True):
            left = place - start if start > 0 else np.full(n, n)
            right = stop - 1 - place if stop < n else np.full(n, n)
            row[start:stop] = np.minimum(left, right)[start:stop]
        return distances.argmax(axis=0)
