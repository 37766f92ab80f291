"""Tokens without their padding: all sequences of a batch in one row.

Only attention mixes tokens; everything else in BERT treats each by itself.  So the tokens of a padded batch may stand
one behind the other, (B, S, H) -> (1, N, H) with N real tokens, and the dense layers have no padding to compute.
Attention is computed for groups of sequences of equal length.

Here: the order of the tokens, and the way there and back.  Who uses it: `bert.py` packs, `encoder.py` attends.
"""

from __future__ import annotations

import numpy as np


class Packing:
    """Where each token of a padded batch stands in the packed row: by length of sequence, longest first.

    Parameters
    ----------
    real : bool ndarray of shape (B, S)
        True for tokens, False for padding, which may be anywhere.

    Examples
    --------
    >>> packing = Packing(np.array([[True, False, False], [True, True, True]]))
    >>> packing.pack(np.array([["a", "-", "-"], ["b", "c", "d"]]))
    array([['b', 'c', 'd', 'a']], dtype='<U1')
    >>> packing.groups
    [(slice(0, 3, None), 1, 3), (slice(3, 4, None), 1, 1)]
    """

    def __init__(self, real: np.ndarray) -> None:
        self.shape = real.shape
        lengths = real.sum(axis=1)
        order = np.argsort(-lengths, kind="stable")
        row, column = np.nonzero(real[order])
        self.index = order[row], column  # of each packed token in the batch
        self.groups: list[tuple[slice, int, int]] = []  # (packed tokens, how many sequences, their length)
        start = 0
        for length in np.unique(lengths[lengths > 0])[::-1].tolist():
            count = int((lengths == length).sum())
            self.groups.append((slice(start, start + count * length), count, length))
            start += count * length

    def pack(self, x: np.ndarray) -> np.ndarray:
        """(B, S, ...) -> (1, N, ...): leave the padding out."""
        return x[self.index][np.newaxis]

    def unpack(self, x: np.ndarray) -> np.ndarray:
        """(1, N, ...) -> (B, S, ...), with 0 at the padding.  Each is the other's backward."""
        padded = np.zeros((*self.shape, *x.shape[2:]), x.dtype)
        padded[self.index] = x[0]
        return padded

    def split(self, x: np.ndarray) -> list[np.ndarray]:
        """(1, N, ...) -> one view (sequences, length, ...) for each group."""
        return [x[0, tokens].reshape(count, length, *x.shape[2:]) for tokens, count, length in self.groups]

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        """The inverse of `split`."""
        return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])[np.newaxis]

    def unpack_attentions(self, parts: list[np.ndarray]) -> np.ndarray:
        """Attention weights (sequences, A, length, length) of each group -> (B, A, S, S), 0 at the padding."""
        B, S = self.shape
        A = parts[0].shape[1]
        padded = np.zeros((B, S, S, A), parts[0].dtype)
        for places, part in zip(self._places(), parts, strict=True):
            padded[places] = part.transpose(0, 2, 3, 1)
        return padded.transpose(0, 3, 1, 2)

    def pack_attentions(self, x: np.ndarray) -> list[np.ndarray]:
        """(B, A, S, S) -> the weights of each group; the backward of `unpack_attentions`."""
        return [x.transpose(0, 2, 3, 1)[places].transpose(0, 3, 1, 2) for places in self._places()]

    def _places(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Index of each group's pairs of tokens in (B, S, S)."""
        row, column = self.index
        places = []
        for tokens, count, length in self.groups:
            rows = row[tokens].reshape(count, length, 1)
            columns = column[tokens].reshape(count, length)
            places.append((rows, columns[:, :, np.newaxis], columns[:, np.newaxis, :]))
        return places
