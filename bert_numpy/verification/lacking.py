"""What a dump lacks, and what follows from it.

An error shows at the first tensor behind it that is there; and inputs that do not use a part of BERT, such as a batch
without padding, cannot show what is wrong with that part.

Here: what is missing.  Not here: the comparison of what is there (`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np

from ..configuration import BertConfig
from .evaluation import GRADIENT, Graph, Run
from .steps import Step

MOST_NAMES = 4


def gaps(there: Container[str], taps: Iterable[str]) -> list[str]:
    """Taps that some layers have in the dump and others lack, a sentence for each kind.

    Examples
    --------
    >>> gaps(["encoder.layer.1.output"], ["embeddings", "encoder.layer.0.output", "encoder.layer.1.output"])
    ['encoder.layer.N.output is missing for N = 0']
    """
    by_kind: dict[str, dict[int, bool]] = {}
    for tap in taps:
        parts = tap.split(".", 3)
        if parts[0] == "encoder":
            by_kind.setdefault(parts[3], {})[int(parts[2])] = tap in there
    sentences = []
    for kind, layers in by_kind.items():
        missing = [str(i) for i, has in layers.items() if not has]
        if missing and len(missing) < len(layers):
            sentences.append(f"encoder.layer.N.{kind} is missing for N = {', '.join(missing)}")
    return sentences


def absent_gradients(there: Container[str], parameters: Iterable[str], truth: Run) -> list[str]:
    """The few parameters whose gradients a dump lacks, as one sentence; many are left out on purpose."""
    names = list(parameters)
    missing = [name for name in names if GRADIENT + name not in there]
    if 2 * len(missing) > len(names):
        return []
    missing = [name for name in missing if truth.value(GRADIENT + name) is not None]
    if not missing:
        return []
    more = f" and {len(missing) - MOST_NAMES} more" if len(missing) > MOST_NAMES else ""
    return [f"the dump has no gradient of {', '.join(missing[:MOST_NAMES])}{more}, on which the loss depends"]


def unseen(batches: Sequence[Mapping[str, np.ndarray]], config: BertConfig, gradients: bool) -> list[str]:
    """Parts of BERT that no batch uses, so that nothing can be said of them.

    Parameters
    ----------
    batches : sequence of mappings
        Complete inputs, as `complete_inputs` returns them.
    config : BertConfig
    gradients : bool
        Whether the dump has any.

    Examples
    --------
    >>> batch = {
    ...     "input_ids": np.array([[2, 7, 3]]),
    ...     "attention_mask": np.array([[1, 1, 1]]),
    ...     "token_type_ids": np.array([[0, 0, 1]]),
    ... }
    >>> unseen([batch], BertConfig(), gradients=True)[:2]
    ['the mask (nothing is padded)', 'a gradient without its sum over the batch (one sequence)']
    """
    found = []
    if not any((batch["attention_mask"] == 0).any() for batch in batches):
        found.append("the mask (nothing is padded)")
    if config.type_vocab_size > 1 and not any(batch["token_type_ids"].any() for batch in batches):
        found.append("token types (all are 0)")
    if all(batch["input_ids"].shape[1] == 1 for batch in batches):
        found.append("attention (each text is one token)")
    if gradients and all(len(batch["input_ids"]) == 1 for batch in batches):
        found.append("a gradient without its sum over the batch (one sequence)")
    if gradients and not any(_repeats(batch["input_ids"][batch["attention_mask"] != 0]) for batch in batches):
        found.append("the sum over equal ids in the gradient of word_embeddings (no id is there twice)")
    return found


def _repeats(ids: np.ndarray) -> bool:
    return np.unique(ids).size < ids.size


def between(
    name: str, nodes: Iterable[str], used: Container[str], given: Container[str], graph: Graph
) -> tuple[list[str], list[str]]:
    """Where the step that computes a tensor begins in a dump, and the tensors on the way that the dump lacks.

    Parameters
    ----------
    name : str
        The tap or gradient.
    nodes : iterable of str
        All that can be compared, in the order of the computation.
    used : collection of str
        What took part in computing it (`Run.used`).
    given : collection of str
        What the dump has.
    graph : Graph

    Returns
    -------
    since, lacks : lists of str
        Tensors of the dump that it was computed from, and those between them and `name`.  A tensor that is another
        one under a second name, as behind a dropout that does nothing, is not missed.
    """
    on_the_way = [node for node in nodes if node in used and node != name]
    lacks = [node for node in on_the_way if node not in given and not _is_a_copy(node, name, graph.steps)]
    return [node for node in on_the_way if node in given] if lacks else [], lacks


def _is_a_copy(node: str, name: str, steps: Mapping[str, Step]) -> bool:
    """Whether a tensor is the same as one of its readers, or as `name` itself."""
    tap = node.removeprefix(GRADIENT)
    if tap in steps and steps[tap].operation == "identity":
        return True
    end = name.removeprefix(GRADIENT)
    while end in steps and steps[end].operation == "identity":
        end = steps[end].inputs[0]
        if node in (end, GRADIENT + end):
            return True
    return False
