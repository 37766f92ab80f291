"""Compare what a port computed with the reference, tap by tap, and say where it first goes wrong and why.

    report = compare("path/to/model", "port.safetensors")
    print(report.to_text())

Every tap is judged twice: from the inputs on, and alone, that is with the step fed with the port's own tensors, so that
one mistake is not blamed on all later layers.  The yardstick is the noise floor (`precision.py`): what rounding does
to the reference itself, on the same input, in the precision of the port.  The differences of two correct programs are
rounding too, and of the same size; `THRESHOLD` says how many times the floor is still equal.

Here: the judgement of one dump.  Not here: reading it (`dumps.py`), measuring (`noise.py`), recognizing mistakes
(`diagnosis.py`), the report (`report.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..models import BertPreTrainedModel
from .arrays import rms
from .diagnosis import Diagnosis
from .dumps import Case, Dump, cases_of, read_dump
from .evaluation import GRADIENT, Graph, Run, complete_inputs
from .lacking import between, gaps, unseen
from .names import Names
from .noise import (
    FEW_NUMBERS,
    Measured,
    Runs,
    Values,
    cosine_distance,
    factor,
    make_runs,
    quotient,
    rms_of_all,
)
from .precision import EPSILONS, precision_of_taps
from .reference import Reference, load_reference
from .report import DIFFERS, DRIFTS, INHERITS, NOT_FINITE, OK, SHAPE, Agreement, CaseReport, Report, TapResult
from .shapes import fit_shape, kept_positions, place_of, positions_kind
from .steps import Step

THRESHOLD = 8.0
"""How many times the noise floor still counts as equal; what it rests on is in `tests/golden/thresholds.md`."""

VANISHING = 1e-9
"""A gradient that is smaller than all gradients together by such a factor is truly 0, as that of a key bias."""

FEW_GRADIENTS = 3
"""Of fewer gradients a factor in common says nothing of the others."""

GLOBAL, PER_TENSOR, NOT_CLIPPED = "global", "per tensor", "none"
"""How the gradients of parameters may have been clipped, where the dump says that they were."""

BEYOND = Measured(math.inf, math.inf, math.nan, math.inf, math.nan, ())
"""Of a tensor that is of another shape, or too far off for more than that."""

Progress = Callable[[str], None]


def compare(
    reference: str | Path | BertPreTrainedModel | Reference,
    dump: str | Path | Mapping[str, np.ndarray] | Dump,
    *,
    renamed: Mapping[str, str] | None = None,
    threshold: float = THRESHOLD,
    diagnose: bool = True,
    pairs: bool = False,
    progress: Progress = lambda line: None,
) -> Report:
    """Compare a port's tensors with this package's BERT, and name its mistakes.

    Parameters
    ----------
    reference : path, name or model
        The model that was ported, with the weights that the port has.
    dump : path or mapping
        Tensors by name, with the inputs among them: see `dumps.py` and `names.py`.
    renamed : mapping of str to str, optional
        Names in the dump -> names that are understood.
    threshold : float
        How many times the noise floor is still equal.
    diagnose : bool
        Whether to look for the cause of what differs.
    pairs : bool
        Whether to try two mistakes at once where no single one explains it; takes long.
    progress : function of a line
        Told what is done at the moment.

    Returns
    -------
    Report

    Raises
    ------
    FileNotFoundError, ValueError
        If the model or the dump cannot be read, or the dump has no inputs; in one line.

    Examples
    --------
    >>> from bert_numpy import BertModel
    >>> model = BertModel.from_pretrained("tiny-random")
    >>> ids = np.array([[2, 7, 8, 3]])
    >>> outputs = model(ids, output_hidden_states=True)
    >>> port = {"input_ids": ids, **{f"hidden_states.{i}": outputs.hidden_states[i] for i in (1, 2)}}
    >>> compare(model, port).ok
    True
    >>> port["hidden_states.2"] = outputs.hidden_states[2] + outputs.hidden_states[1]
    >>> compare(model, port).cases[0].first.name
    'encoder.layer.1.output'
    """
    taken_apart = load_reference(reference)
    if isinstance(dump, (str, Path)):
        dump = read_dump(dump)
    elif not isinstance(dump, Dump):
        dump = Dump("the dump", dump)
    names = Names([*(step.tap for step in taken_apart.steps), *taken_apart.parameters], renamed)
    cases = cases_of(dump, names, taken_apart)
    precision, coarser = precision_of_taps(item for case in cases for item in case.tensors.items())
    report = Report(taken_apart.name, dump.source, taken_apart.stored_dtype, precision, threshold)
    for case in cases:
        progress(f"comparing {case.name or dump.source}")
        comparison = Comparison(taken_apart, case, precision, threshold)
        with np.errstate(all="ignore"):  # what is not finite has a verdict of its own
            report.cases.append(comparison.judge(Diagnosis(taken_apart, pairs) if diagnose else None, progress))
        report.cases[-1].notes += [
            f"{tap} is stored in half precision, and the rest in {precision}: it cannot agree better than that"
            for tap in dict.fromkeys(coarser)
            if tap in case.tensors
        ]
    gradients = any(tap.is_gradient for case in report.cases for tap in case.taps)
    batches = [complete_inputs(case.inputs) for case in cases]
    report.unseen = unseen(batches, taken_apart.model.config, gradients) if batches else []
    return report


class Comparison:
    """One case of a dump beside the reference.

    Attributes
    ----------
    given : dict of str to array
        The port's tensors that can be compared.
    broken : dict of str to array
        Those that are not finite where it counts.
    upstream : dict of str to array
        Gradients of outputs with which backward begins, where there is no loss.
    changes : dict of str to Step
        Steps as the port has them, by what was found so far.
    clipping : str
        How its gradients were clipped, likewise.
    """

    def __init__(self, reference: Reference, case: Case, precision: str, threshold: float) -> None:
        self.reference = reference
        self.case = case
        self.precision = precision
        self.threshold = threshold
        self.inputs = complete_inputs(case.inputs)
        self.real = self.inputs["attention_mask"] != 0
        self.given: dict[str, np.ndarray] = {}
        self.broken: dict[str, np.ndarray] = {}
        self.changes: dict[str, Step] = {}
        self.upstream: dict[str, np.ndarray] = {}
        self.clipping = GLOBAL
        self._norm: float | None = None
        self._graph = Graph(reference.steps)
        self._whole = self.runs({}, {})
        self._alone: Runs | None = None
        self._of_gradients: float | None = None

    def judge(self, diagnosis: Diagnosis | None, progress: Progress) -> CaseReport:
        """Judge every tensor of the case, in the order of the computation."""
        result = CaseReport(self.case.name, problems=list(self.case.problems), notes=list(self.case.notes))
        order = [name for name in self.nodes() if name in self.case.tensors]
        padding = self.reference.model.config.pad_token_id
        if "attention_mask" not in self.case.inputs and (self.inputs["input_ids"] == padding).any():
            result.notes.append(
                f"input_ids hold padding (id {padding}) and the dump has no attention_mask: all ones are assumed"
            )
        empty = [str(i) for i in np.flatnonzero(~self.real.any(axis=1))]
        if len(empty) == len(self.real):
            result.problems.append("attention_mask is 0 everywhere: no position counts, and nothing is compared")
            return result
        if empty:
            result.notes.append(f"sequence {', '.join(empty)} of the batch is all padding, and is not compared")
        self._take_upstream_gradients(order)
        runs = self._whole = self.runs({}, self.upstream)
        for name in order:
            result.taps.append(self._fitted(name, self._clipped(name, runs.truth)))
        for tap in result.taps:
            if tap.verdict == OK and tap.name not in self.upstream:
                progress(f"comparing {tap.name}")
                self._judge_one(tap, self.values(tap.name, runs), result, diagnosis)
            elif tap.verdict == NOT_FINITE:
                self._judge_not_finite(tap)
        self._look_at_drift(result)
        result.agreements = list(self._agreements(runs.truth))
        result.notes += gaps(order, [step.tap for step in self.reference.steps])
        if not result.taps:
            result.problems.append(
                "no tap: the dump holds inputs, and names that mean nothing here; see --map"
                if self.case.unknown
                else "no tap: the dump holds inputs only; write outputs of layers beside them"
            )
        return result

    def nodes(self) -> Iterable[str]:
        """Everything that can be compared: taps forward, then gradients backward."""
        yield from (step.tap for step in self.reference.steps)
        seen: set[str] = set()
        for step in reversed(self.reference.steps):
            yield GRADIENT + step.tap
            for name in step.parameters:
                later = [other for other in self.reference.steps if name in other.parameters]
                if name not in seen and later[0].tap == step.tap:  # complete when its first reader is done
                    seen.add(name)
                    yield GRADIENT + name

    def runs(self, changes: Mapping[str, Step], given: Mapping[str, np.ndarray]) -> Runs:
        """The steps, some of them changed, in float64, and with rounding."""
        graph = self._graph_with(changes)
        return make_runs(self.reference, graph, self.inputs, given, self.precision, self.case.tensors)

    def _graph_with(self, changes: Mapping[str, Step]) -> Graph:
        return Graph(changes.get(step.tap, step) for step in self.reference.steps) if changes else self._graph

    def values(self, name: str, runs: Runs) -> Values:
        """The truth of a name, and what rounding makes of it; several times, if it is a few numbers only."""
        truth = self._clipped(name, runs.truth)
        few = np.size(truth) < FEW_NUMBERS
        samples = runs.rough if few else runs.rough[:1]
        if runs.fused is not None and name.startswith(GRADIENT):
            samples = [*samples, runs.fused]
        rough = [self._clipped(name, run) for run in samples]
        if truth is None:  # nothing depends on it: its gradient is 0
            truth = np.zeros_like(self.given[name]) if name in self.given else None
            rough = [truth]
        return Values(truth, rough, self._terms(name, runs.truth))

    def _terms(self, name: str, run: Run) -> float:
        """RMS of Σ|dy|, where the gradient of a bias is Σ dy."""
        for step in self.reference.steps:
            if step.operation == "linear" and name.removeprefix(GRADIENT) == step.parameters[1]:
                dy = run.value(GRADIENT + step.tap)
                return 0.0 if dy is None else rms_of_all(np.abs(dy).sum(axis=tuple(range(dy.ndim - 1))))
        return 0.0

    def measure(self, name: str, actual: np.ndarray, values: Values) -> Measured:
        """How far `actual` is from the truth, where it counts."""
        shape = np.shape(values.truth)
        places = self._places(name, shape)

        def counted(array: np.ndarray) -> np.ndarray:
            return np.asarray(array, np.float64)[places]

        truth = counted(values.truth)
        d = np.abs(counted(actual) - truth)
        noise = max(factor(rough, self.precision) * rms_of_all(counted(rough) - truth) for rough in values.rough)
        scale, floor = self._scale_and_floor(name, truth, noise, values.terms)
        difference = float(d.max(initial=0))
        flat = np.flatnonzero(places)[d.argmax()] if d.size else 0
        worst = tuple(int(i) for i in np.unravel_index(flat, shape)) if d.size and shape else ()
        return Measured(
            difference,
            quotient(difference, scale),
            quotient(floor, scale),
            quotient(rms_of_all(d), floor),
            cosine_distance(counted(actual), truth),
            worst,
        )

    def residual(self, name: str, expected: np.ndarray) -> np.ndarray:
        """What the port has minus what is expected, at the places that count."""
        places = self._places(name, np.shape(expected))
        return (np.asarray(self.given[name], np.float64) - expected)[places]

    def _places(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Which entries count."""
        kept = kept_positions(positions_kind(name, self.reference), shape, self.real)
        return np.broadcast_to(True if kept is None else kept, shape)

    def _scale_and_floor(self, name: str, truth: np.ndarray, noise: float, terms: float) -> tuple[float, float]:
        """RMS of the reference, and the RMS that rounding gives a difference from it.

        Where numbers cancel to 0, as in the gradient of a key bias, each way to sum them up has another rest, of the
        size of a rounding of all that was summed.
        """
        scale, epsilon = rms(truth), EPSILONS[self.precision]
        of_gradients = self._scale_of_gradients() if name.startswith(GRADIENT) else 0.0
        if scale < max(noise, VANISHING * of_gradients) and of_gradients:  # truly 0: only rounding is left of it
            scale, share, noise = of_gradients, 1.0, max(noise, epsilon * terms)
        else:
            share = math.sqrt(np.count_nonzero(truth) / max(truth.size, 1))  # `rms` counts what is not 0
        return scale, max(noise, epsilon * scale * share)

    def _scale_of_gradients(self) -> float:
        """RMS of all gradients of the dump."""
        if self._of_gradients is None:
            gradients = [a.ravel() for name, a in self.given.items() if name.startswith(GRADIENT)]
            self._of_gradients = rms(np.concatenate(gradients))
        return self._of_gradients

    # ---- the parts of `judge` ----

    def _take_upstream_gradients(self, order: list[str]) -> None:
        """Without a loss, the gradients of the outputs in the dump are where backward begins."""
        truth = self.runs({}, {}).truth
        if any(step.tap == "loss" for step in self.reference.steps) and truth.has("loss"):
            return
        outputs = {step.tap for step in self.reference.steps if step.unit not in ("embeddings",)}
        read = {source for step in self.reference.steps if not step.tap.startswith("loss") for source in step.inputs}
        last = self.reference.last_tap
        for name in order:
            tap = name.removeprefix(GRADIENT)
            if name.startswith(GRADIENT) and tap in outputs and (tap not in read or tap in (last, "pooler")):
                self.upstream[name] = self.case.tensors[name]

    def _fitted(self, name: str, truth: Any) -> TapResult:
        """The row of one tensor; verdict "shape" or "not finite" if it cannot be compared, else it is `given`."""
        array = self.case.tensors[name]
        row = TapResult(name, self.case.written[name], np.shape(array))
        if truth is None:
            truth = np.zeros_like(array)
        fitted, complaint = fit_shape(array, np.shape(truth), self.reference.heads, truth)
        if fitted is None:
            row.verdict, row.says = SHAPE, complaint
            return row
        kept = kept_positions(positions_kind(name, self.reference), fitted.shape, self.real)
        at_real = fitted if kept is None else np.where(kept, fitted, 0)
        row.nan, row.inf = int(np.isnan(at_real).sum()), int(np.isinf(at_real).sum())
        if row.nan or row.inf:
            row.verdict = NOT_FINITE
            row.worst = place_of(tuple(np.argwhere(~np.isfinite(at_real))[0]), name, self.reference, self.inputs)
            row.says = f"{row.nan} NaN and {row.inf} infinite of {fitted.size}, the first at {row.worst}"
            self.broken[name] = fitted
            return row
        self.given[name] = np.where(np.isfinite(fitted), fitted, truth)  # what is not finite at padding
        return row

    def _judge_one(
        self,
        row: TapResult,
        values: Values,
        result: CaseReport,
        diagnosis: Diagnosis | None,
    ) -> None:
        """Measure one tensor from the inputs on and alone, and look for the cause if it is wrong by itself."""
        actual = self.given[row.name]
        whole = self.measure(row.name, actual, values)
        row.max_difference, row.ratio, row.noise, row.times_noise, row.cosine = whole[:5]
        row.worst = place_of(whole.worst, row.name, self.reference, self.inputs)
        row.padded = self._padded(row.name, actual, values.truth)
        alone = self.alone(row.name, self.changes)
        row.alone = alone.times
        wrong_before = any(tap.times_noise > self.threshold for tap in result.taps if tap is not row)
        if whole.times <= self.threshold and wrong_before:
            return  # right all the same: what is wrong before it in the dump is not what the port went on with
        if alone.times > self.threshold:
            row.verdict = DIFFERS
            computed = self._locate(row, {**self.given, **self.upstream})
            if diagnosis is not None:
                diagnosis.explain(row, computed, self, result)
        elif whole.times > self.threshold:
            row.verdict = INHERITS

    def _judge_not_finite(self, row: TapResult) -> None:
        """What is not finite because its input was not is inherited: the step alone gives the same."""
        given = {**self.given, **self.upstream, **self.broken}
        values = self.values(row.name, self.runs(self.changes, given))
        finite = np.isfinite(values.truth)
        actual = self.broken[row.name]
        places = self._places(row.name, actual.shape)
        if not (finite & ~np.isfinite(actual) & places).any():
            for rough in values.rough:
                finite = finite & np.isfinite(rough)
            truth, *rough = (np.where(finite, array, 0) for array in (values.truth, *values.rough))
            rest = self.measure(row.name, np.where(finite, actual, 0), Values(truth, rough))
            if rest.times <= self.threshold:
                row.verdict, row.says = INHERITS, ""
                return
        self._locate(row, given)

    def _locate(self, row: TapResult, given: Mapping[str, np.ndarray]) -> set[str]:
        """Note what the dump lacks before a tensor; the taps whose steps it is computed by."""
        graph = self._graph_with(self.changes)
        run = Run(graph, self.reference.float64, self.inputs, given)
        run.alone(row.name)
        row.since, row.lacks = between(row.name, self.nodes(), run.used, given, graph)
        return run.computed

    def alone(
        self, name: str, changes: Mapping[str, Step], limit: float = math.inf, actual: np.ndarray | None = None
    ) -> Measured:
        """The tensor (or another in its place) against its own step, fed with the port's tensors; with some changed.

        Where max|d| / RMS is sure to be above a limit, the noise is not looked at: the result is infinite.
        """
        actual = self.given[name] if actual is None else actual
        runs = self._runs_alone(changes)
        truth = self._clipped(name, runs.truth) if limit < math.inf else None
        if truth is not None and self._is_beyond(limit, name, truth):
            return BEYOND
        values = self.values(name, runs)
        return self.measure(name, actual, values) if np.shape(values.truth) == np.shape(actual) else BEYOND

    def holds(self, name: str, other: str) -> bool:
        """Whether a tensor of the port is what another one should be, from the inputs on or by itself."""
        actual = self.given[name]
        for runs in (self._whole, self._runs_alone(self.changes)):
            values = self.values(other, runs)
            if np.shape(values.truth) == np.shape(actual) and self._is(other, actual, values):
                return True
        return False

    def factor_of_gradients(self) -> float | None:
        """The number by which all gradients of the port are larger than those of the loss, if there is one."""
        names = [name for name in self.given if name.startswith(GRADIENT)]
        if not self._whole.truth.has("loss") or len(names) < FEW_GRADIENTS:
            return None
        values = {name: self.values(name, self._whole) for name in names}
        product = square = 0.0
        for name, (truth, *_) in values.items():
            counted = np.where(self._places(name, np.shape(truth)), truth, 0)
            product += float(np.vdot(self.given[name], counted))
            square += float(np.vdot(counted, counted))
        factor = product / square if square else 0.0
        if not factor or not all(self._is(name, self.given[name] / factor, values[name]) for name in names):
            return None
        return factor

    def _is(self, name: str, actual: np.ndarray, values: Values) -> bool:
        return self.measure(name, actual, values).times <= self.threshold

    def expected(self, name: str, changes: Mapping[str, Step]) -> Any:
        """What the step computes from the port's tensors, with some steps changed."""
        return self._clipped(name, self._runs_alone(changes).truth)

    def _runs_alone(self, changes: Mapping[str, Step]) -> Runs:
        """The steps, each fed with the port's tensors; what several taps or changes have in common is computed once."""
        given = {**self.given, **self.upstream}
        if self._alone is None:
            self._alone = self.runs(self.changes, given)
        if changes is self.changes:
            return self._alone
        runs = self.runs(changes, given)
        new = [tap for tap, step in changes.items() if self.changes.get(tap) is not step]
        changed = self._graph_with(changes).after(new)
        for run, other in ((runs.truth, self._alone.truth), (runs.rough[0], self._alone.rough[0])):
            run.reuse(other, changed)
        return runs

    def _is_beyond(self, limit: float, name: str, truth: Any) -> bool:
        """Whether max|d| / RMS is above a limit, whatever the noise is."""
        if np.shape(truth) != np.shape(self.given[name]):
            return False
        scale = rms(np.asarray(truth)[self._places(name, np.shape(truth))])
        if name.startswith(GRADIENT):
            scale = max(scale, self._scale_of_gradients())
        return bool(np.abs(self.residual(name, truth)).max(initial=0) > limit * scale)

    def adopt(self, changes: Mapping[str, Step]) -> None:
        """Go on as if the reference had these steps."""
        self.changes.update(changes)
        self._alone = None

    def _clipped(self, name: str, run: Run) -> Any:
        """What a run says of a name; gradients of parameters clipped, if those of the dump were."""
        value = run.alone(name) if name not in self.upstream else self.upstream[name]
        if self.case.max_grad_norm is None or value is None or not self.is_parameter_gradient(name):
            return value
        norm = math.inf
        if self.clipping == GLOBAL:
            norm = self._global_norm()
        elif self.clipping == PER_TENSOR:
            norm = float(np.linalg.norm(value))
        elif self.clipping == NOT_CLIPPED:
            return value
        return value * value.dtype.type(min(1.0, self.case.max_grad_norm / (norm + 1e-6)))

    def is_parameter_gradient(self, name: str) -> bool:
        """Whether it is the gradient of a parameter, not of a tap."""
        return name.startswith(GRADIENT) and name.removeprefix(GRADIENT) in self.reference.parameters

    def _global_norm(self) -> float:
        """Of the gradients of all parameters together."""
        if self._norm is None:
            truth = self.runs({}, self.upstream).truth
            gradients = (truth.value(GRADIENT + name) for name in self.reference.parameters)
            self._norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradients if g is not None))
        return self._norm

    def _padded(self, name: str, actual: np.ndarray, truth: np.ndarray) -> float | None:
        kind = positions_kind(name, self.reference)
        kept = kept_positions(kind, truth.shape, self.real)
        if kept is None or kept.all() or kind == "scores":  # to scores some programs add their mask
            return None
        d = np.where(kept, 0, np.abs(actual - truth))
        scale = rms(truth)
        return float(d.max(initial=0) / scale) if scale else None

    def _look_at_drift(self, result: CaseReport) -> None:
        """A port that is wrong although each of its steps is right drifts."""
        wrong = False
        for row in result.taps:
            wrong |= row.verdict in (DIFFERS, SHAPE, NOT_FINITE)
            if row.verdict == INHERITS and not wrong:
                row.verdict = DRIFTS

    def _agreements(self, truth: Run) -> Iterable[Agreement]:
        """Whether the heads decide alike: the best, and the best five."""
        for name in ("cls.predictions", "cls.seq_relationship", "classifier", "qa_outputs.start", "qa_outputs.end"):
            if name not in self.given:
                continue
            kind = positions_kind(name, self.reference)
            expected, actual = truth.value(name), self.given[name]
            if kind == "tokens" and expected.ndim == 3:
                expected, actual = expected[self.real], actual[self.real]
            expected, actual = (x.reshape(-1, x.shape[-1]) for x in (expected, actual))
            classes = expected.shape[-1]
            count = min(5, classes)
            best, found = (np.argsort(-x, axis=-1, kind="stable")[:, :count] for x in (expected, actual))
            common = np.mean([len(np.intersect1d(a, b)) / count for a, b in zip(best, found, strict=True)])
            yield Agreement(name, len(best), float((best[:, 0] == found[:, 0]).mean()), float(common), classes)
