"""The random generators that a run draws from, caught in a snapshot and put back.

Dropout draws from the model's generator; a collator that masks words, or a data set that augments, may have one of
its own.  With all of them in a checkpoint, the draws after resuming are those that would have come.

Here: finding them, their states as JSON.  Read next: `checkpointing.py`.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

Snapshot = dict[str, Any]


class Generators:
    """All generators of a run: `model.rng`, those of collator and data set, and the global one of `random`.

    Parameters
    ----------
    **owners
        Objects whose attributes are looked through for `np.random.Generator` and `random.Random`.

    Examples
    --------
    >>> class Collator:
    ...     rng = np.random.default_rng(0)
    >>> generators = Generators(collator=Collator())
    >>> before = generators.snapshot()
    >>> drawn = Collator.rng.random()
    >>> generators.restore(before)
    >>> drawn == Collator.rng.random()
    True
    """

    def __init__(self, **owners: Any) -> None:
        self._generators: dict[str, Any] = {"random": random}
        for name, owner in owners.items():
            found = {**vars(type(owner)), **getattr(owner, "__dict__", {})}
            for attribute, value in found.items():
                if isinstance(value, (np.random.Generator, random.Random)):
                    self._generators[f"{name}.{attribute}"] = value

    def snapshot(self) -> Snapshot:
        """The state of each generator by name, as JSON can hold it."""
        return {name: _state(generator) for name, generator in self._generators.items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Put the generators back into the states of a snapshot.

        Raises
        ------
        ValueError
            If a generator is not in the snapshot, or is of another kind there.
        """
        for name, generator in self._generators.items():
            if name not in snapshot:
                raise ValueError(f"the state of {name} was not saved; resume with the objects that the run began with")
            try:
                _set_state(generator, snapshot[name])
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"the saved state of {name} does not fit a {type(generator).__name__}: {error}"
                ) from None


def reseed(generator: np.random.Generator, seed: int) -> None:
    """Start a generator afresh from a seed, in place: whoever shares it draws from the new stream.

    Examples
    --------
    >>> rng = np.random.default_rng()
    >>> reseed(rng, 3)
    >>> rng.random() == np.random.default_rng(3).random()
    True
    """
    generator.bit_generator.state = type(generator.bit_generator)(seed).state


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return _listed(generator.bit_generator.state)
    return _listed(generator.getstate())


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _unlisted(state)
    else:
        version, internal, gauss_next = state
        generator.setstate((version, tuple(internal), gauss_next))


def _listed(value: Any) -> Any:
    """Arrays and tuples as lists, and dicts of them: for JSON."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return (
        np.asarray(value).tolist()
        if isinstance(value, np.ndarray)
        else list(value)
        if isinstance(value, tuple)
        else value
    )


def _unlisted(value: Any) -> Any:
    """The lists in a state as arrays of unsigned integers again."""
    if isinstance(value, dict):
        return {key: _unlisted(item) for key, item in value.items()}
    return np.array(value, np.uint64) if isinstance(value, list) else value
