"""Labels have names in files and numbers in models; this is the map between the two.

Here: `LabelMap`.  Not here: where labels stand in a file (`classification.py`, `tagging.py`).  Whoever trains saves the
map into the configuration: `BertConfig(..., id2label=labels.id2label)`.  Read next: `dataset.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class LabelMap:
    """The names of the labels, in the order of their numbers.

    Parameters
    ----------
    names : sequence of str
        The k-th is the name of label k.

    Raises
    ------
    ValueError
        If there is no name, or one twice.

    Examples
    --------
    >>> labels = LabelMap.from_values(["spam", "ham", "ham"])
    >>> labels.label2id, labels.id2label
    ({'ham': 0, 'spam': 1}, {0: 'ham', 1: 'spam'})
    >>> labels.id_of("spam")
    1
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.label2id = {name: i for i, name in enumerate(self.names)}
        if not names or len(self.label2id) < len(names):
            raise ValueError(f"labels must be distinct names, at least one, not {list(names)}")
        self._are_numbers = all(name == f"LABEL_{i}" for i, name in enumerate(self.names))

    @classmethod
    def from_values(cls, values: Iterable[Any]) -> LabelMap:
        """Collect the labels that occur; integers are sorted as numbers, anything else as text.

        Examples
        --------
        >>> LabelMap.from_values([10, 2, 1]).names
        ('1', '2', '10')
        """
        names = {label_name(value) for value in values}
        if all(_INTEGER.fullmatch(name) for name in names):
            return cls(sorted(names, key=lambda name: (int(name), name)))
        return cls(sorted(names))

    @classmethod
    def numbered(cls, num_labels: int) -> LabelMap:
        """Labels without names, as a fresh configuration has them: files then hold the numbers themselves.

        Examples
        --------
        >>> LabelMap.numbered(3).id_of("2")
        2
        """
        return cls([f"LABEL_{i}" for i in range(num_labels)])

    @classmethod
    def of(cls, labels: LabelMap | Mapping[Any, Any] | Sequence[str]) -> LabelMap:
        """Take a map in any form: a `LabelMap`, the names, a `label2id` or an `id2label`.

        Raises
        ------
        ValueError
            If the numbers are not 0, 1, 2 …, each once.

        Examples
        --------
        >>> LabelMap.of({"no": 0, "yes": 1}) == LabelMap.of({1: "yes", 0: "no"}) == LabelMap(["no", "yes"])
        True
        """
        if isinstance(labels, LabelMap):
            return labels
        if not isinstance(labels, Mapping):
            return cls(list(labels))
        by_id = {i: name for name, i in labels.items()}
        if all(isinstance(name, str) and isinstance(i, int) for i, name in labels.items()):
            by_id = dict(labels)
        if len(by_id) < len(labels) or set(by_id) != set(range(len(by_id))):
            raise ValueError(f"a label map must number the labels 0, 1, 2 …, each once, not {dict(labels)}")
        return cls([by_id[i] for i in range(len(by_id))])

    @property
    def id2label(self) -> dict[int, str]:
        return dict(enumerate(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelMap) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"LabelMap({list(self.names)})"

    def id_of(self, label: Any) -> int:
        """Return the number of a label.

        Raises
        ------
        ValueError
            If the map does not have it.
        """
        name = label_name(label)
        if name in self.label2id:
            return self.label2id[name]
        if self._are_numbers:
            if _INTEGER.fullmatch(name) and 0 <= int(name) < len(self):
                return int(name)
            raise ValueError(f"label {name[:80]!r} is outside the range 0 to {len(self) - 1} of {len(self)} labels")
        known = ", ".join(map(repr, self.names[:10])) + (", …" if len(self) > 10 else "")
        raise ValueError(f"label {name[:80]!r} is unknown; the labels are {known}")


def label_name(value: Any) -> str:
    """Return the name of a label as a file gives it: text without blanks around it, an integer or a truth value.

    Raises
    ------
    ValueError
        If there is none, or it is something else.

    Examples
    --------
    >>> label_name(" spam "), label_name(3), label_name(True)
    ('spam', '3', 'True')
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("the label is empty")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) or (isinstance(value, np.generic) and value.dtype.kind in "iub"):
        return str(value)
    raise ValueError(f"the label {str(value)[:80]!r} is no name and no integer")
