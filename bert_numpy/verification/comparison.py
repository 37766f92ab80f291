"""Compare what a port computed with the reference, tap by tap, and say where it first goes wrong and why.

    report = compare("path/to/model", "port.safetensors")
    print(report.to_text())

Every tap is judged twice: from the inputs on, and alone, that is with the step fed with the port's own tensors, so that
one mistake is not blamed on all later layers.  The yardstick is the noise floor (`precision.py`): what rounding does
to the reference itself, on the same input, in the precision of the port.  The differences of two correct programs are
rounding too, and of the same size; `THRESHOLD` says how many times the floor is still equal.

Here: the verdicts.  Not here: reading a dump (`dumps.py`), measuring (`evidence.py`), recognizing mistakes
(`diagnosis.py`), the forms of the report (`report.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..models import BertPreTrainedModel
from .arrays import rms
from .diagnosis import Diagnosis
from .dumps import Dump, cases_of, read_dump
from .evaluation import GRADIENT, Run, complete_inputs
from .evidence import POSITIONS, Evidence
from .lacking import absent_gradients, between, gaps, unseen
from .loss_operations import WITH_SOFTMAX
from .names import Names
from .noise import Values
from .precision import precision_of_taps
from .reference import Reference, load_reference
from .report import DIFFERS, DRIFTS, INHERITS, NOT_FINITE, OK, SHAPE, Agreement, CaseReport, Report, TapResult
from .shapes import fit_shape, kept_positions, place_of, positions_kind
from .steps import Step

THRESHOLD = 8.0
"""How many times the noise floor still counts as equal; what it rests on is in `tests/golden/thresholds.md`."""

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
        judge = Judge(Evidence(taken_apart, case, precision, threshold))
        with np.errstate(all="ignore"):  # what is not finite has a verdict of its own
            report.cases.append(judge.report(Diagnosis(taken_apart, pairs) if diagnose else None, progress))
        report.cases[-1].notes += [
            f"{tap} is stored in half precision, and the rest in {precision}: it cannot agree better than that"
            for tap in dict.fromkeys(coarser)
            if tap in case.tensors and not tap.endswith("key.bias")  # a gradient that is rounding alone
        ]
    gradients = any(tap.is_gradient for case in report.cases for tap in case.taps)
    batches = [complete_inputs(case.inputs) for case in cases]
    report.unseen = unseen(batches, taken_apart.model.config, gradients) if batches else []
    return report


class Judge:
    """The verdicts on one case, tensor by tensor."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.reference = evidence.reference
        self.case = evidence.case

    def report(self, diagnosis: Diagnosis | None, progress: Progress) -> CaseReport:
        """Judge every tensor of the case, in the order of the computation."""
        evidence = self.evidence
        order = [name for name in self.nodes() if name in self.case.tensors]
        out_of_reach = list(self._out_of_reach(order))
        result = CaseReport(self.case.name, problems=[*self.case.problems, *out_of_reach], notes=list(self.case.notes))
        padding = self.reference.model.config.pad_token_id
        if "attention_mask" not in self.case.inputs and (evidence.inputs["input_ids"] == padding).any():
            result.notes.append(
                f"input_ids hold padding (id {padding}) and the dump has no attention_mask: all ones are assumed"
            )
        empty = [str(i) for i in np.flatnonzero(~evidence.real.any(axis=1))]
        if len(empty) == len(evidence.real):
            result.problems.append("attention_mask is 0 everywhere: no position counts, and nothing is compared")
            return result
        if empty:
            result.notes.append(f"sequence {', '.join(empty)} of the batch is all padding, and is not compared")
        runs = evidence.whole
        for name in order:
            parameter = self.reference.parameters.get(name.removeprefix(GRADIENT))  # of the shape of its gradient
            result.taps.append(
                self._fitted(name, evidence.clipped(name, runs.truth) if parameter is None else parameter)
            )
        for tap in result.taps:
            if tap.verdict == OK and tap.name not in evidence.upstream:
                progress(f"comparing {tap.name}")
                self._judge_one(tap, evidence.values(tap.name, runs), result, diagnosis)
            elif tap.verdict == NOT_FINITE:
                self._judge_not_finite(tap)
        self._look_at_drift(result)
        result.agreements = list(self._agreements(runs.truth))
        result.notes += gaps(order, [step.tap for step in self.reference.steps])
        if any(map(evidence.is_parameter_gradient, order)):
            result.notes += absent_gradients(order, self.reference.parameters, runs.truth)
        if not result.taps and not out_of_reach:
            result.problems.append(
                "no tap: the dump holds inputs, and names that mean nothing here; see --map"
                if self.case.unknown
                else "no tap: the dump holds inputs only; write outputs of layers beside them"
            )
        return result

    def _out_of_reach(self, order: list[str]) -> Iterable[str]:
        """Take out what cannot be computed by the labels of the dump, and say what it needs."""
        truth, labels = self.evidence.whole.truth, self.reference.labels
        missing = " and ".join(name for name in labels if name not in self.case.inputs)
        for loss in [name for name in order if name.startswith("loss") and not truth.has(name)]:
            order.remove(loss)
            yield f"{loss}: it cannot be computed without {missing}; write the labels of the run into the dump"
        gradients = [name for name in order if name.startswith(GRADIENT)]
        if gradients and not truth.has("loss") and not self.evidence.upstream:
            order[:] = [name for name in order if name not in gradients]
            more = f" and {len(gradients) - 1} more" if len(gradients) > 1 else ""
            yield (
                f"{gradients[0]}{more}: no gradient can be computed without "
                + (f"{missing}, or " if missing else "")
                + "the gradient of an output; write that into the dump"
            )
        elif dead := [step.inputs[1] for step in self.reference.steps if self._is_dead(step)]:
            order[:] = [name for name in order if not name.startswith(("loss", GRADIENT))]
            self.case.notes.append(
                f"of {' and '.join(dead)} none counts: the loss is 0 / 0, and neither it nor a gradient is compared"
            )
        elif missing and truth.has("loss") and (gradients or "loss" in order):
            self.case.notes.append(f"no {missing}: the loss is taken to be that of the other labels alone")

    def _is_dead(self, step: Step) -> bool:
        """Whether it is a loss to which no label contributes: 0 here, NaN where the sum is divided by their number."""
        if step.operation not in WITH_SOFTMAX or step.inputs[1] not in self.case.inputs:
            return False
        labels, S = self.case.inputs[step.inputs[1]], self.evidence.inputs["input_ids"].shape[1]
        return bool((labels == -100).all() or (step.operation == "span" and (labels >= S).all()))

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

    def _fitted(self, name: str, truth: Any) -> TapResult:
        """The row of one tensor; verdict "shape" or "not finite" if it cannot be compared, else it is `given`."""
        evidence = self.evidence
        array = self.case.tensors[name]
        row = TapResult(name, self.case.written[name], np.shape(array))
        if truth is None:
            truth = np.zeros_like(array)
        rows, *sizes = np.shape(truth) or (0,)
        if name == GRADIENT + POSITIONS and rows == 1 and np.shape(array) == (len(evidence.real), *sizes):
            array = array.sum(axis=0, keepdims=True)  # of one row of positions that was expanded over the batch
        fitted, complaint = fit_shape(array, np.shape(truth), self.reference.heads, truth)
        if fitted is None:
            row.verdict, row.says = SHAPE, complaint
            return row
        kept = kept_positions(positions_kind(name, self.reference), fitted.shape, evidence.real)
        at_real = fitted if kept is None else np.where(kept, fitted, 0)
        row.nan, row.inf = int(np.isnan(at_real).sum()), int(np.isinf(at_real).sum())
        if row.nan or row.inf:
            row.verdict = NOT_FINITE
            row.worst = place_of(tuple(np.argwhere(~np.isfinite(at_real))[0]), name, self.reference, evidence.inputs)
            row.says = f"{row.nan} NaN and {row.inf} infinite of {fitted.size}"
            row.says += f", the first at {row.worst}" if row.worst else ""
            evidence.broken[name] = fitted
            return row
        evidence.given[name] = np.where(np.isfinite(fitted), fitted, truth)  # what is not finite at padding
        return row

    def _judge_one(
        self,
        row: TapResult,
        values: Values,
        result: CaseReport,
        diagnosis: Diagnosis | None,
    ) -> None:
        """Measure one tensor from the inputs on and alone, and look for the cause if it is wrong by itself."""
        evidence = self.evidence
        actual = evidence.given[row.name]
        whole = evidence.measure(row.name, actual, values)
        row.max_difference, row.ratio, row.noise, row.times_noise, row.cosine = whole[:5]
        row.worst = place_of(whole.worst, row.name, self.reference, evidence.inputs)
        row.padded = self._padded(row.name, actual, values.truth)
        alone = evidence.alone(row.name, evidence.changes)
        row.alone = alone.times
        wrong_before = any(tap.times_noise > evidence.threshold for tap in result.taps if tap is not row)
        if whole.times <= evidence.threshold and wrong_before:
            return  # right all the same: what is wrong before it in the dump is not what the port went on with
        if alone.times > evidence.threshold:
            row.verdict = DIFFERS
            computed = self._locate(row, {**evidence.given, **evidence.upstream})
            if diagnosis is not None:
                diagnosis.explain(row, computed, evidence, result)
        elif whole.times > evidence.threshold:
            row.verdict = INHERITS

    def _judge_not_finite(self, row: TapResult) -> None:
        """What is not finite because its input was not is inherited: the step alone gives the same."""
        evidence = self.evidence
        given = {**evidence.given, **evidence.upstream, **evidence.broken}
        values = evidence.values(row.name, evidence.runs(evidence.changes, given))
        finite = np.isfinite(values.truth)
        actual = evidence.broken[row.name]
        places = evidence.places(row.name, actual.shape)
        if not (finite & ~np.isfinite(actual) & places).any():
            for rough in values.rough:
                finite = finite & np.isfinite(rough)
            truth, *rough = (np.where(finite, array, 0) for array in (values.truth, *values.rough))
            rest = evidence.measure(row.name, np.where(finite, actual, 0), Values(truth, rough))
            if rest.times <= evidence.threshold:
                row.verdict, row.says = INHERITS, ""
                return
        self._locate(row, given)

    def _locate(self, row: TapResult, given: Mapping[str, np.ndarray]) -> set[str]:
        """Note what the dump lacks before a tensor; the taps whose steps it is computed by."""
        evidence = self.evidence
        graph = evidence.graph_with(evidence.changes)
        run = Run(graph, self.reference.float64, evidence.inputs, given)
        run.alone(row.name)
        row.since, row.lacks = between(row.name, self.nodes(), run.used, given, graph)
        return run.computed

    def _padded(self, name: str, actual: np.ndarray, truth: np.ndarray) -> float | None:
        kind = positions_kind(name, self.reference)
        kept = kept_positions(kind, truth.shape, self.evidence.real)
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
        evidence = self.evidence
        for name in ("cls.predictions", "cls.seq_relationship", "classifier", "qa_outputs.start", "qa_outputs.end"):
            if name not in evidence.given:
                continue
            kind = positions_kind(name, self.reference)
            expected, actual = truth.value(name), evidence.given[name]
            if kind == "tokens" and expected.ndim == 3:
                expected, actual = expected[evidence.real], actual[evidence.real]
            expected, actual = (x.reshape(-1, x.shape[-1]) for x in (expected, actual))
            classes = expected.shape[-1]
            count = min(5, classes)
            best, found = (np.argsort(-x, axis=-1, kind="stable")[:, :count] for x in (expected, actual))
            common = np.mean([len(np.intersect1d(a, b)) / count for a, b in zip(best, found, strict=True)])
            yield Agreement(name, len(best), float((best[:, 0] == found[:, 0]).mean()), float(common), classes)
