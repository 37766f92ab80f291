"""Which mistake is it?  The step that differs is computed again with one thing changed at a time.

A mistake is recognized when the reference that makes it equals the port as well as two correct programs equal each
other.  It is looked for in the steps between the tap that differs and the port's own tensors before it: in all of them,
then in those of one layer, then in a single one.  What is found stays changed for the rest of the case, so that a
second mistake is not hidden by the first.

Two mistakes contain chance and cannot be computed again; they are known by their traces.  Dropout that was left on
makes zeros, and what it leaves is larger by one and the same factor.  Weights that were never loaded give what has
nothing to do with what the right ones give.

Here: the search.  Not here: the list of mistakes (`divergences.py`), what a tensor shows by itself (`traces.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from .attention_divergences import MASK_IGNORED
from .backward_divergences import backward_divergences
from .changes import Divergence
from .divergences import forward_divergences
from .evaluation import GRADIENT
from .evidence import NOT_CLIPPED, PER_TENSOR, Evidence
from .head_divergences import LOSS_WITHOUT
from .precision import EPSILONS
from .reference import Reference
from .report import CaseReport, Finding, TapResult
from .steps import Step
from .traces import FEW_NUMBERS, UNRELATED, constant, correlation, strange, unrelated, wrong_mask

Changes = dict[str, Step]

CLIPPINGS = {PER_TENSOR: "gradients clipped one tensor at a time", NOT_CLIPPED: "gradients not clipped"}

NO_GRADIENT, ALL_ZERO = "gradient that is 0 everywhere", "add up what comes back from every step that reads it"

ADD_MASK = "add a very negative number, such as -10000, to the scores of padding keys"

SAME = 1.5
"""Two mistakes explain a tap equally well if the worse does so within this factor, in units of noise."""

OTHER_WEIGHTS, MANY_WEIGHTS = "other weights than", 3
"""What is said of weights that were never loaded; of so many, the dump may be another model's."""

MOST_OFF = 1000.0
"""A mistake that is farther from the port than so many roundings explains nothing, however noisy it makes the tap."""

MOST_UNEXPLAINED = 3
"""After so many taps of a case that no known mistake explains, no more are searched."""

MOST_PLACES = 4
"""How many steps a finding names, where the mistake was made before the tap that shows it."""

MOST_PAIRED = 20
"""How many mistakes are tried in pairs: those that come nearest alone."""


class Match(NamedTuple):
    """A mistake, where it was made, and how well that equals the port."""

    name: str
    remedy: str
    changes: Changes
    times: float


class Diagnosis:
    """The search for the mistakes of one port.

    Parameters
    ----------
    reference : Reference
    pairs : bool
        Whether to try two mistakes at once.
    """

    def __init__(self, reference: Reference, pairs: bool = False) -> None:
        config = reference.model.config
        self.reference = reference
        self.pairs = pairs
        self.forward = forward_divergences(config)
        self.backward = backward_divergences(config)
        self._is_looked_for_factor = False
        self._is_straight = False  # the hidden states were looked at, and have their right numbers

    def explain(self, row: TapResult, computed: set[str], evidence: Evidence, report: CaseReport) -> None:
        """Find the cause of a tap that differs, note it in the report, and go on as if the reference made it too.

        `computed` are the taps whose steps lie between it and the port's own tensors.
        """
        if sum(not finding.name for finding in report.findings) >= MOST_UNEXPLAINED:
            last, no_more = report.findings[-1], f"and no more is searched after {MOST_UNEXPLAINED} such tensors"
            if not last.says.endswith(no_more):
                last.says = f"{last.says}; {no_more}".removeprefix("; ")
            return
        no_gradient = _is_lost(row, evidence)
        expected = evidence.expected(row.name, evidence.changes)
        always = constant(*evidence.counted(row.name, expected))
        if always and not no_gradient:
            report.findings.append(Finding(row.name, taps=[row.name], says=always))
            return
        elsewhere = self._shifted(row, evidence) or self._scaled(row, evidence)
        if elsewhere is not None:
            self._append(row, elsewhere, report)
            return
        steps = [evidence.changes.get(step.tap, step) for step in self.reference.steps if step.tap in computed]
        match, alike = self._search(row, steps, evidence, report)
        if match is None and not row.is_gradient:
            match = self._misread(row, evidence)
        if match is None and no_gradient:
            self._append(row, Finding(row.name, NO_GRADIENT, ALL_ZERO, taps=[row.name]), report)
            return
        if match is not None and match.name == MASK_IGNORED:  # so say the probabilities; the scores may show more
            name, remedy = self._mask_of_scores(match.changes, evidence) or (match.name, match.remedy)
            match, alike = match._replace(name=name, remedy=remedy), [other for other in alike if other != name]
        if match is not None:
            self._note(row, self._narrowed(row, match, evidence), alike, evidence, report)
            return
        finding = Finding(row.name, taps=[row.name])
        self._traces(row, finding, evidence, report)
        self._append(row, finding, report)

    def _append(self, row: TapResult, finding: Finding, report: CaseReport) -> None:
        """Add a finding to the report, or its tap to the same finding."""
        same = next((known for known in report.findings if _alike(known, finding)), None)
        if same is None:
            report.findings.append(finding)
            return
        same.taps.append(row.name)
        if finding.name.startswith(OTHER_WEIGHTS) and len(same.taps) >= MANY_WEIGHTS:
            same.says = "is it the dump of this model?"

    def _note(self, row: TapResult, match: Match, alike: list[str], evidence: Evidence, report: CaseReport) -> None:
        evidence.adopt(match.changes)
        same = next((finding for finding in report.findings if finding.name == match.name), None)
        if same is not None:
            same.taps.append(row.name)
            return
        finding = Finding(row.name, match.name, match.remedy, match.times, [row.name], alike)
        if row.name.removeprefix(GRADIENT) not in match.changes and not self._is_of(row.name, match.changes):
            places = ", ".join(list(match.changes)[:MOST_PLACES])
            more = len(match.changes) - MOST_PLACES
            finding.says = f"made at {places}" + (f" and {more} more" if more > 0 else "")
        report.findings.append(finding)

    def _is_of(self, name: str, changes: Changes) -> bool:
        """Whether a gradient of a parameter is that of a changed step itself."""
        return any(name.removeprefix(GRADIENT) in step.parameters for step in changes.values())

    # ---- switches ----

    def _search(
        self, row: TapResult, steps: list[Step], evidence: Evidence, report: CaseReport
    ) -> tuple[Match | None, list[str]]:
        """The mistake that explains a tap, and others that do so as well."""
        known = [finding.name for finding in report.findings]
        ways = self.backward + self.forward if row.is_gradient else self.forward
        if _is_lost(row, evidence):  # nearly every mistake has a gradient that is not 0
            ways = self.backward + [divergence for divergence in ways if divergence.name.startswith(LOSS_WITHOUT)]
        ways = sorted(ways, key=lambda divergence: divergence.name not in known)  # what was found before comes first
        tried: list[Match] = []
        for scope in _scopes(steps):
            matches = []
            for divergence in ways:
                changes = _changed(divergence, scope)
                if row.is_gradient and divergence in self.forward and changes.keys() & evidence.given.keys():
                    continue  # the forward pass was looked at before
                if changes:
                    tried.append(self._try(row, divergence, changes, evidence))
                    if tried[-1].times <= evidence.threshold:
                        matches.append(tried[-1])
                        if divergence.name in known:
                            return tried[-1], []
            if matches:
                return _best(matches)
        if self.pairs and tried:
            matches = list(self._pairs(row, tried, evidence))
            if matches:
                return _best(matches)
        return None, []

    def _try(self, row: TapResult, divergence: Divergence, changes: Changes, evidence: Evidence) -> Match:
        far = min(MOST_OFF * EPSILONS[evidence.precision], 0.5)  # farther is lost in a noise of its own
        try:
            measured = evidence.alone(row.name, {**evidence.changes, **changes}, np.inf if self.pairs else far)
        except ValueError:  # a change that does not fit the shapes of the port's own tensors
            return Match(divergence.name, divergence.remedy, changes, np.inf)
        times = measured.times if measured.ratio <= far else max(measured.times, MOST_OFF)
        return Match(divergence.name, divergence.remedy, changes, times)

    def _narrowed(self, row: TapResult, match: Match, evidence: Evidence) -> Match:
        """The same mistake without the steps that do not matter for this tap."""
        enough = min(max(SAME * match.times, 1.0), evidence.threshold)
        for tap in list(match.changes):
            fewer = {name: step for name, step in match.changes.items() if name != tap}
            if fewer:
                tried = self._try(row, Divergence(match.name, match.remedy, lambda step: step), fewer, evidence)
                match = tried if tried.times <= enough else match
        return match

    def _pairs(self, row: TapResult, tried: list[Match], evidence: Evidence) -> Iterator[Match]:
        """Two of the mistakes that come nearest alone, made at once."""
        nearest = sorted(tried, key=lambda match: match.times)[:MOST_PAIRED]
        by_name = {divergence.name: divergence for divergence in self.forward + self.backward}
        for first, second in combinations(nearest, 2):
            if first.name == second.name:
                continue
            base = [first.changes.get(s.tap, s) for s in self.reference.steps if s.tap in second.changes]
            changes = {**first.changes, **_changed(by_name[second.name], base)}
            both = Divergence(f"{first.name}] and [{second.name}", f"{first.remedy}; and {second.remedy}", lambda s: s)
            match = self._try(row, both, changes, evidence)
            if match.times <= evidence.threshold:
                yield match

    def _misread(self, row: TapResult, evidence: Evidence) -> Match | None:
        """A dense layer that is right but for what it reads: another tensor of the port."""
        steps = {step.tap: evidence.changes.get(step.tap, step) for step in self.reference.steps}
        step = steps[row.name]
        if step.operation != "linear":
            return None
        (source,) = step.inputs
        copies = {tap for tap, other in steps.items() if other.operation == "identity" and tap != "embeddings"}
        shape = (*evidence.given[row.name].shape[:-1], self.reference.parameters[step.parameters[0]].shape[1])
        others = [tap for tap in steps if tap in evidence.given and tap not in {source, *copies}]
        for tap in reversed([tap for tap in others if evidence.given[tap].shape == shape]):
            name = f"{row.name} reads {tap}"
            misread = Divergence(name, f"it reads {source}", lambda step: step)
            match = self._try(row, misread, {row.name: step._replace(inputs=(tap,))}, evidence)
            if match.times <= evidence.threshold:
                return match
        return None

    # ---- the right numbers under the wrong name ----

    def _shifted(self, row: TapResult, evidence: Evidence) -> Finding | None:
        """A hidden state that is the one of the next layer or the last one, and is not alone in that."""
        states = ["embeddings", *self.reference.layer_outputs]
        there = [state for state in states if state in evidence.given]
        if row.name not in there or self._is_straight:
            return None
        neighbours = list(pairwise(states))
        for how, others in (("low", dict(neighbours)), ("high", {behind: before for before, behind in neighbours})):
            shifted = [state for state in there if state in others and evidence.holds(state, others[state])]
            if row.name in shifted and len(shifted) > 1:
                remedy = "hidden_states.0 is the output of the embeddings, hidden_states.i that of layer i-1"
                return Finding(row.name, f"hidden states numbered one too {how}", remedy, taps=[row.name])
        self._is_straight = True
        return None

    def _exchanged(self, row: TapResult, evidence: Evidence) -> tuple[str, str] | None:
        """A tensor that is what another step of the same part should compute."""
        unit = next((step.unit for step in self.reference.steps if step.tap == row.name), None)
        others = (step for step in self.reference.steps if step.unit == unit and step.operation != "identity")
        for step in others:
            if step.tap != row.name and evidence.holds(row.name, step.tap):
                name = f"{row.name} has the numbers of {step.tap}"
                return name, "give each layer its own weights, and each tensor in the dump its own name"
        return None

    def _scaled(self, row: TapResult, evidence: Evidence) -> Finding | None:
        """All gradients are right but for one factor; from now on they come of a loss with that factor."""
        if not row.is_gradient or self._is_looked_for_factor or evidence.case.max_grad_norm is not None:
            return None
        self._is_looked_for_factor = True
        factor = evidence.factor_of_gradients()
        if factor is None or round(factor, 3) == 1:
            return None
        evidence.given[f"{GRADIENT}loss"] = np.float64(factor)
        evidence.adopt({})
        remedy = (
            "backward begins with 1, the gradient of the loss, and not with -1"
            if round(factor, 3) == -1
            else "backward begins with 1, and the gradients with 0 before each batch; put max_grad_norm into the dump "
            "if they were clipped"
        )
        return Finding(row.name, f"all gradients times {factor:.4g}", remedy, taps=[row.name])

    # ---- traces of chance ----

    def _traces(self, row: TapResult, finding: Finding, evidence: Evidence, report: CaseReport) -> None:
        """Recognize what cannot be computed again, or say what is nearest."""
        actual, expected = evidence.counted(row.name, evidence.expected(row.name, evidence.changes))
        if not row.is_gradient:
            finding.name, finding.remedy = self._exchanged(row, evidence) or ("", "")
            if finding.name:
                return
        for recognize in (self._transposed, self._clipped_otherwise, self._dropout, self._masked_otherwise):
            found = recognize(row, actual, expected, evidence)
            if found:
                finding.name, finding.remedy = found
                return
        finding.says = self._factor(row, actual, expected, evidence) or strange(actual, expected)
        if not finding.says:
            finding.name, finding.remedy = self._other_weights(row, actual, expected, report) or ("", "")
        if not finding.says and not finding.name:
            finding.says = unrelated(actual, expected)

    def _factor(self, row: TapResult, actual: np.ndarray, expected: np.ndarray, evidence: Evidence) -> str:
        """Say it, if a tensor is the right one times a number."""
        square = float(np.sum(np.square(expected)))
        factor = float(np.sum(actual * expected)) / square if square else 0.0
        if not factor or expected.size < FEW_NUMBERS:
            return ""
        scaled = evidence.given[row.name] / factor
        if evidence.alone(row.name, evidence.changes, actual=scaled).times > evidence.threshold:
            return ""
        return f"it is the reference's times {factor:.4g}"

    def _transposed(
        self, row: TapResult, actual: np.ndarray, expected: np.ndarray, evidence: Evidence
    ) -> tuple[str, str] | None:
        if actual.ndim != 2 or actual.shape[0] != actual.shape[1]:
            return None
        if evidence.alone(row.name, evidence.changes, actual=actual.T).times <= evidence.threshold:
            return "the tensor transposed in the dump", "weights and their gradients are (out, in)"
        return None

    def _clipped_otherwise(
        self, row: TapResult, actual: np.ndarray, expected: np.ndarray, evidence: Evidence
    ) -> tuple[str, str] | None:
        """Gradients of parameters clipped one by one, or not at all."""
        if evidence.case.max_grad_norm is None or not evidence.is_parameter_gradient(row.name):
            return None
        so_far = evidence.clipping
        for evidence.clipping, name in CLIPPINGS.items():
            if evidence.alone(row.name, evidence.changes).times <= evidence.threshold:
                return name, "clip by the norm of all gradients together: one factor for all of them"
        evidence.clipping = so_far
        return None

    def _dropout(
        self, row: TapResult, actual: np.ndarray, expected: np.ndarray, evidence: Evidence
    ) -> tuple[str, str] | None:
        """Zeros, and all else larger by one factor."""
        alive = np.abs(expected) > 1e-3 * np.abs(expected).max(initial=0)
        if row.is_gradient or alive.sum() < FEW_NUMBERS:
            return None
        quotients = actual[alive] / expected[alive]
        kept = quotients[quotients != 0]
        if kept.size == quotients.size or not kept.size:
            return None
        factor = float(np.median(kept))
        if (
            factor <= 1
            or np.abs(kept / factor - 1).max() > 1e-2
            or abs((1 - kept.size / quotients.size) - (1 - 1 / factor)) > 0.1
        ):
            return None
        p = 1 - 1 / factor
        config = self.reference.model.config
        in_attention = row.name.endswith(("self.probs", "self.dropout"))
        own, other = config.attention_probs_dropout_prob, config.hidden_dropout_prob
        if not in_attention:
            own, other = other, own
        if in_attention and abs(p - other) < 0.01 <= abs(own - other):
            return (
                "attention dropout with the rate of the hidden dropout, left on",
                f"use attention_probs_dropout_prob {own:g} there, and switch dropout off where nothing is trained",
            )
        return f"dropout left on, with p = {p:.3g}", "switch dropout off: evaluation mode"

    def _mask_of_scores(self, changes: Changes, evidence: Evidence) -> tuple[str, str] | None:
        """Another name and remedy for a mask that is ignored, if the scores of the port show what it does."""
        for tap in changes:
            scores = tap.removesuffix("probs") + "scores"
            if scores in evidence.given:
                expected = evidence.expected(scores, evidence.changes)
                shown = wrong_mask(evidence.given[scores], expected, evidence.real)
                if shown:
                    return shown, ADD_MASK
        return None

    def _masked_otherwise(
        self, row: TapResult, actual: np.ndarray, expected: np.ndarray, evidence: Evidence
    ) -> tuple[str, str] | None:
        """Scores that a wrong mask has moved: at other places, or not far enough."""
        if row.is_gradient or not row.name.endswith("attention.self.scores"):
            return None
        expected = evidence.expected(row.name, evidence.changes)
        shown = wrong_mask(evidence.given[row.name], expected, evidence.real)
        remedies = {divergence.name: divergence.remedy for divergence in self.forward}
        return (shown, remedies.get(shown, ADD_MASK)) if shown else None

    def _other_weights(
        self, row: TapResult, actual: np.ndarray, expected: np.ndarray, report: CaseReport
    ) -> tuple[str, str] | None:
        """Numbers that have nothing to do with what the right weights give."""
        step = next((step for step in self.reference.steps if step.tap == row.name), None)
        if step is None or step.operation not in ("linear", "embedding") or expected.size < FEW_NUMBERS:
            return None
        if step.operation == "linear":
            bias = self.reference.parameters[step.parameters[1]]
            actual, expected = actual - bias, expected - bias
        if not abs(correlation(actual, expected)) < UNRELATED:
            return None
        weight = step.parameters[0]
        known = any(finding.name == f"{OTHER_WEIGHTS} {weight}" for finding in report.findings)
        if not known and row.name == "cls.predictions" and weight.startswith("embeddings"):
            return "decoder not tied to the word table", "the decoder's matrix is word_embeddings.weight"
        return f"{OTHER_WEIGHTS} {weight}", "load it: the output has nothing to do with what these weights give"


def _is_lost(row: TapResult, evidence: Evidence) -> bool:
    """Whether it is a gradient that is 0 everywhere."""
    return row.is_gradient and not evidence.given[row.name].any()


def _alike(known: Finding, finding: Finding) -> bool:
    """Whether two findings are one; weights that were never loaded are, whichever they are."""
    if finding.name.startswith(OTHER_WEIGHTS):
        return known.name.startswith(OTHER_WEIGHTS)
    return bool(finding.name) and (known.name, known.remedy) == (finding.name, finding.remedy)


def _scopes(steps: list[Step]) -> Iterator[list[Step]]:
    """Where a mistake may be: everywhere, in one unit, in one step."""
    yield steps
    units = list(dict.fromkeys(step.unit for step in steps))
    if len(units) > 1:
        for unit in reversed(units):
            yield [step for step in steps if step.unit == unit]
    if len(steps) > 1:
        for step in reversed(steps):
            yield [step]


def _changed(divergence: Divergence, steps: Iterable[Step]) -> Changes:
    """The steps that a mistake changes."""
    changes = {}
    for step in steps:
        changed = divergence.change(step)
        if changed is not None and changed != step:
            changes[step.tap] = changed
    return changes


def _best(matches: list[Match]) -> tuple[Match, list[str]]:
    """The likeliest of those that explain a tap equally well (the first), and the names of the others."""
    least = min(match.times for match in matches)
    equal = [match for match in matches if match.times <= max(SAME * least, 1.0)]
    names = dict.fromkeys(match.name for match in equal[1:] if match.name != equal[0].name)
    return equal[0], list(names)
