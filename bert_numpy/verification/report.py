"""What a comparison found: a table for people, a dictionary for JSON, JUnit XML for a test runner.

Here: the results as data, and their forms in text.  Not here: how they come about (`comparison.py`), the picture
(`visualization/parity.py`).
"""

from __future__ import annotations

import math
import textwrap
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .evaluation import GRADIENT

OK, DIFFERS, INHERITS, DRIFTS = "ok", "differs", "inherits", "drifts"
SHAPE, NOT_FINITE = "shape", "not finite"
FAILURES = (DIFFERS, DRIFTS, SHAPE, NOT_FINITE)

WIDTH = 118
"""Of the text, in characters."""

MOST_LINES = 8
"""How many problems, notes and failing taps of a case are shown, if not all are asked for."""

NOT_COMPARED = "not compared"
"""What the note on a tensor begins with that is left out of the comparison."""

MEANING = {
    DIFFERS: "not what the reference computes from the port's own input",
    INHERITS: "right by itself, on an input that was wrong before",
    DRIFTS: "each step is right to rounding, but together they are off by more",
    SHAPE: "cannot be compared",
    NOT_FINITE: "holds NaN or infinity",
}


@dataclass
class TapResult:
    """How one tensor of the port compares with the reference.

    Attributes
    ----------
    name : str
        The tap, `d TAP` for its gradient, or `d PARAMETER`.
    written : str
        Its name in the dump.
    shape : tuple of int
    nan, inf : int
        How many entries are not finite, at real positions.
    max_difference : float
        max|d| at real positions, from the inputs on.
    ratio : float
        max|d| / RMS of the reference.
    noise : float
        The noise floor: RMS of what rounding does to the reference / RMS of the reference.
    times_noise : float
        RMS of d, in units of the noise floor.
    alone : float
        The same, with the step fed with the port's own input.
    cosine : float
        Cosine distance, 1 - cos.
    worst : str
        Where max|d| is, with the token.
    padded : float or None
        max|d| / RMS at padding, where two correct ports may differ; no verdict depends on it.
    verdict : str
        "ok", "differs", "inherits", "drifts", "shape" or "not finite".
    says : str
        What is wrong with it, if anything.
    since, lacks : lists of str
        If it is wrong by itself, and the dump lacks tensors that it is computed by: these, and the ones before them
        that the dump has.
    """

    name: str
    written: str = ""
    shape: tuple[int, ...] = ()
    nan: int = 0
    inf: int = 0
    max_difference: float = math.nan
    ratio: float = math.nan
    noise: float = math.nan
    times_noise: float = math.nan
    alone: float = math.nan
    cosine: float = math.nan
    worst: str = ""
    padded: float | None = None
    verdict: str = OK
    says: str = ""
    since: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.verdict == OK

    @property
    def place(self) -> str:
        """Where the error arises, if the dump lacks what is before this tensor; else ""."""
        if not self.lacks:
            return ""
        since = " and ".join(self.since[-2:]) or "the inputs"
        return f"it arises between {since} and {self.name}; not in the dump: {_in_short(self.lacks)}"

    @property
    def is_gradient(self) -> bool:
        return self.name.startswith(GRADIENT)


@dataclass
class Finding:
    """A mistake that was recognized, or the statement that none was.

    Attributes
    ----------
    tap : str
        The first tap that it shows at.
    name : str
        What the port does; "" if no single known cause explains it.
    remedy : str
    times_noise : float
        How well the reference with this mistake equals the port.
    taps : list of str
        All taps that it explains.
    alike : list of str
        Other mistakes that explain this tap as well.
    says : str
        What else was noticed.
    """

    tap: str
    name: str = ""
    remedy: str = ""
    times_noise: float = math.nan
    taps: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    says: str = ""

    def sentence(self) -> str:
        """The finding in one or two sentences."""
        if not self.name:
            return f"{self.tap}: no single known mistake explains it" + (f"; {self.says}" if self.says else "")
        if math.isnan(self.times_noise):  # known by its traces alone
            text = f"{self.tap}: looks like [{self.name}]: {self.remedy}"
        else:
            noise = f"to {self.times_noise:.1f} x noise"
            text = f"{self.tap}: equal to the reference with [{self.name}] {noise}: {self.remedy}"
        if len(self.taps) > 1:
            text += f"; likewise at {_in_short(self.taps[1:])}"
        if self.alike:
            text += f" (cannot be told apart here from: {'; '.join(self.alike)})"
        return text + (f"; {self.says}" if self.says else "")


@dataclass
class Agreement:
    """How far a head decides alike, at `count` places: the same best, and the share of the best five in common."""

    head: str
    count: int
    argmax: float
    top5: float
    classes: int = 6

    def sentence(self) -> str:
        """In words; of five classes the best five are no news."""
        text = f"{self.head}: the same best at {100 * self.argmax:.4g} % of {_count(self.count, 'place')}"
        return text + (f", {100 * self.top5:.4g} % of the best five in common" if self.classes > 5 else "")


@dataclass
class CaseReport:
    """One batch of a dump.

    Attributes
    ----------
    name : str
    taps : list of TapResult
        In the order of the computation: forward, then backward.
    findings : list of Finding
    problems : list of str
        Tensors that could not be compared, one line each.
    notes : list of str
        What is worth knowing and no fault: taps that only some layers have.
    agreements : list of Agreement
    """

    name: str
    taps: list[TapResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.taps) and not self.problems and not any(tap.verdict in FAILURES for tap in self.taps)

    @property
    def first(self) -> TapResult | None:
        """The first divergence."""
        return next((tap for tap in self.taps if tap.verdict in FAILURES), None)


@dataclass
class Report:
    """A dump beside the reference.

    Attributes
    ----------
    reference, dump : str
        What was compared.
    checkpoint_dtype : str
        What the weights of the reference are stored in.
    precision : str
        What the port seems to have computed in, by its numbers.
    threshold : float
        The largest multiple of the noise floor that still counts as equal.
    cases : list of CaseReport
    unseen : list of str
        What is not tested by the inputs of the dump.
    """

    reference: str
    dump: str
    checkpoint_dtype: str
    precision: str
    threshold: float
    cases: list[CaseReport] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether something was compared and all of it agrees."""
        return bool(self.cases) and all(case.ok for case in self.cases)

    @property
    def findings(self) -> list[Finding]:
        """Of all cases."""
        return [finding for case in self.cases for finding in case.findings]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: numbers that are not finite are None."""
        fields = _plain(asdict(self))
        for case, of_case in zip(self.cases, fields["cases"], strict=True):
            of_case["ok"] = case.ok
            of_case["first"] = None if case.first is None else case.first.name
        return {"ok": self.ok, **fields}

    def to_text(self, every_tap: bool = False) -> str:
        """A table for people: every tap, or only those that matter, and the findings."""
        return "\n".join(_lines(self, every_tap)) + "\n"

    def to_junit(self) -> str:
        """A test suite for each case, a test for each tap."""
        suites = xml.Element("testsuites", name="bert-numpy verify")
        for case in self.cases:
            failures = sum(tap.verdict in FAILURES for tap in case.taps) + len(case.problems)
            count = len(case.taps) + len(case.problems)
            name = case.name or self.dump
            inherits = str(sum(tap.verdict == INHERITS for tap in case.taps))
            numbers = {"tests": str(count), "failures": str(failures), "skipped": inherits}
            suite = xml.SubElement(suites, "testsuite", {"name": name, **numbers})
            for tap in case.taps:
                test = xml.SubElement(suite, "testcase", classname=name, name=tap.name)
                if tap.verdict in FAILURES:
                    said = next((finding.sentence() for finding in case.findings if tap.name in finding.taps), "")
                    errors = f"max|d|/RMS {tap.ratio:.1e}, {tap.alone:.1f} x noise alone"
                    message = f"{tap.verdict}: {tap.says or errors}" + (f"; {tap.place}" if tap.place else "")
                    xml.SubElement(test, "failure", message=message).text = said
                elif tap.verdict == INHERITS:
                    xml.SubElement(test, "skipped", message=MEANING[INHERITS])
            for problem in case.problems:
                test = xml.SubElement(suite, "testcase", classname=name, name=problem.partition(":")[0])
                xml.SubElement(test, "failure", message=problem)
        xml.indent(suites)
        declaration = '<?xml version="1.0" encoding="utf-8"?>'  # ElementTree would name that of the locale
        return f"{declaration}\n{xml.tostring(suites, encoding='unicode')}\n"


# ---- the table --------------------------------------------------------------


def _lines(report: Report, every_tap: bool) -> Iterator[str]:
    yield f"reference  {report.reference} (weights stored as {report.checkpoint_dtype}), computed in float64"
    yield f"port       {report.dump}, by its numbers computed in {report.precision}"
    yield f"equal      up to {report.threshold:g} x the noise floor of {report.precision}, at real positions"
    if report.unseen:
        text = f"untested   by these inputs: {'; '.join(report.unseen)}"
        yield from textwrap.wrap(text, WIDTH, subsequent_indent=" " * 11)
    if every_tap or any(case.first for case in report.cases):
        yield "x noise    RMS of the error in units of the noise floor, from the inputs on"
        yield "alone      likewise, of the one step: fed with the port's own tensors"
        if any(tap.is_gradient for case in report.cases for tap in case.taps):
            yield "d X        the gradient of the loss with respect to X"
    for case in report.cases:
        yield ""
        if case.name:
            yield f"case {case.name}"
        yield from _case_lines(case, every_tap)
    yield ""
    yield _verdict(report)


def _case_lines(case: CaseReport, every_tap: bool) -> Iterator[str]:
    if case.ok and not every_tap:
        yield from _in_a_line(case)
        return
    yield from _limited("! ", case.problems, every_tap)
    yield from _table(case, every_tap)
    failing = (tap for tap in case.taps if tap.verdict in FAILURES and tap.worst and not math.isnan(tap.alone))
    worst = max(failing, key=lambda tap: tap.alone, default=None)
    if worst is not None:
        yield from _wrapped(f"farthest off: {worst.name} at {worst.worst}")
    first = case.first
    if first is not None and first.place and not any(f.name and first.name in f.taps for f in case.findings):
        yield from _wrapped(first.place)
    padded = max((tap for tap in case.taps if tap.padded is not None), key=lambda tap: tap.padded or 0, default=None)
    if padded is not None and padded.padded:
        yield from _wrapped(f"at padding, which does not count: max|d|/RMS up to {padded.padded:.1e}, in {padded.name}")
    for agreement in case.agreements:
        yield from _wrapped(agreement.sentence())
    yield from _limited("note: ", case.notes, every_tap)
    yield from (line for finding in case.findings for line in _wrapped(finding.sentence(), "=> "))


def _table(case: CaseReport, every_tap: bool) -> Iterator[str]:
    """A line for each tap, the first divergence marked by an arrow."""
    shown = case.taps if every_tap else _telling(case)
    if not shown:
        return
    width = max(len("tap"), *(len(tap.name) for tap in shown))
    heads = " ".join(f"{head:>7}" for head in ("max|d|", "/RMS", "x noise", "alone", "1-cos"))
    yield f"  {'tap':<{width}} {'shape':>12} {heads}  verdict"
    for tap in shown:
        shape = "x".join(map(str, tap.shape)) or "scalar"
        errors = f"{_power(tap.max_difference)} {_power(tap.ratio)} {_times(tap.times_noise)} {_times(tap.alone)}"
        mark = "> " if tap is case.first else "  "
        yield f"{mark}{tap.name:<{width}} {shape:>12} {errors} {_power(tap.cosine)}  {tap.verdict}"
        if tap.says:
            yield from _wrapped(tap.says, " " * 4)
    hidden = len(case.taps) - len(shown)
    if hidden:
        yield f"  and {hidden} more: {_counted(case.taps, shown)}; --all shows them"


def _wrapped(text: str, mark: str = "") -> Iterator[str]:
    """A sentence in lines of the width of a terminal."""
    indent = " " * (2 + len(mark))
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {mark}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _limited(mark: str, sentences: list[str], every: bool) -> Iterator[str]:
    """The first of many sentences, and how many there are more."""
    shown = sentences if every or len(sentences) <= MOST_LINES + 1 else sentences[:MOST_LINES]
    for sentence in shown:
        yield from _wrapped(sentence, mark)
    if len(shown) < len(sentences):
        yield f"  {mark}and {len(sentences) - len(shown)} more like these; --all shows them"


def _in_a_line(case: CaseReport) -> Iterator[str]:
    """What there is to say of a case that is equal."""
    worst = max(case.taps, key=lambda tap: -1.0 if math.isnan(tap.times_noise) else tap.times_noise)
    yield f"  {_count(len(case.taps), 'tensor')} equal, the farthest at {worst.times_noise:.1f} x noise: {worst.name}"
    for agreement in case.agreements:
        if agreement.argmax < 1 or agreement.top5 < 1:
            yield f"  {agreement.sentence()}"
    yield from _limited("note: ", case.notes, False)


def _telling(case: CaseReport) -> list[TapResult]:
    """The taps to show where not all are: what fails, what is before the first failure, the ends, the worst."""
    if len(case.taps) <= 12:
        return case.taps
    failing = [tap for tap in case.taps if tap.verdict in FAILURES]
    chosen = {id(tap) for tap in (case.taps[0], *failing[:MOST_LINES])}
    first = case.first
    if first is not None and case.taps.index(first):
        chosen.add(id(case.taps[case.taps.index(first) - 1]))
    for gradients in (False, True):
        some = [tap for tap in case.taps if tap.is_gradient == gradients and not math.isnan(tap.times_noise)]
        if some:
            chosen |= {id(some[-1]), id(max(some, key=lambda tap: tap.times_noise))}
    return [tap for tap in case.taps if id(tap) in chosen]


def _counted(taps: list[TapResult], shown: list[TapResult]) -> str:
    hidden = [tap.verdict for tap in taps if tap not in shown]
    counts = {verdict: hidden.count(verdict) for verdict in dict.fromkeys(hidden)}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _verdict(report: Report) -> str:
    taps = [tap for case in report.cases for tap in case.taps]
    if report.ok:
        worst = max((tap.times_noise for tap in taps if not math.isnan(tap.times_noise)), default=0.0)
        unknown = sum(note.startswith(NOT_COMPARED) for case in report.cases for note in case.notes)
        whose = "whose name means" if unknown == 1 else "whose names mean"
        left_out = f"; NOT compared: {unknown} of the dump, {whose} nothing here" if unknown else ""
        every = "the" if len(taps) == 1 else "all"
        return f"equal: {every} {_count(len(taps), 'tensor')}, the farthest at {worst:.1f} x noise{left_out}"
    first = next((case.first for case in report.cases if case.first is not None), None)
    if first is None:
        return "NOT VERIFIED: " + ("see the lines marked !" if taps else "nothing was compared")
    meaning = first.says or MEANING[first.verdict]
    return f"DIFFERENT: first at {first.name}, {meaning}"


def _count(number: int, what: str) -> str:
    """How many there are, in words that agree."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _power(value: float) -> str:
    return f"{value:>7.1e}" if not math.isnan(value) else f"{'-':>7}"


def _times(value: float) -> str:
    if math.isnan(value):
        return f"{'-':>7}"
    return f"{value:>7.1f}" if value < 10000 else f"{value:>7.0e}"


def _in_short(taps: list[str], limit: int = 4) -> str:
    shown = ", ".join(taps[:limit])
    return shown if len(taps) <= limit else f"{shown} and {len(taps) - limit} more"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
