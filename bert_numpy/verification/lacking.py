"""What a dump lacks, and what follows from it: an error shows at the first tensor behind it that is there.

Here: names of taps that are missing.  Not here: the comparison of those that are there (`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from .evaluation import GRADIENT, Graph
from .steps import Step


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
