"""The turns: prepare a case on both sides, compare their outputs, then let them run alternately.

A round gives each side one turn: runs of about a third of a second, of which the median counts.  Before a turn of the
other process there is a short pause, in which the threads of the last one stop spinning; every second round has the
opposite order.  A variant of the reference that is more than 10 % behind its best after two rounds is left out.

Here: `run_benchmarks`.  Not here: what is measured (`cases.py`), and how it is shown (`report.py`).
Read next: `report.py`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ..configuration import PRESETS, BertConfig
from ..tokenization import BertTokenizer
from . import workload
from .cases import Case, find_case, select_cases
from .measures import Difference, Result, Sample, compare_outputs, fastest, of_turn
from .processes import OURS, REFERENCE, Worker, check_reference
from .serving import read_arrays
from .workload import Workspace

TURN_SECONDS = 0.3
PAUSE_SECONDS = 0.1
BEHIND = 1.1


class Settings(NamedTuple):
    """What is measured, on what, how often.

    Attributes
    ----------
    size : str
        A published size ("tiny", "mini", "base" …), whose weights are random; or the folder of a model.
    reference : bool
        Whether transformers and torch run too.
    only : tuple of str
        Names of cases; all if empty.
    repeats : int
        Rounds.
    threads : int
        Of each side.
    tokenizer : BertTokenizer, optional
        For the cases that tokenize, and for `sentences`; those cases are skipped without one.
    text, sentences : Path, optional
        Files of yours in place of what is drawn.
    """

    size: str = "base"
    reference: bool = False
    only: tuple[str, ...] = ()
    repeats: int = 7
    threads: int = 1
    tokenizer: BertTokenizer | None = None
    text: Path | None = None
    sentences: Path | None = None


class Report(NamedTuple):
    """What came out: the results, what they were measured on and with which settings."""

    results: list[Result]
    about: dict[str, str]
    settings: dict[str, object]

    @property
    def ok(self) -> bool:
        """Whether both sides computed the same in every case."""
        return all(result.ok for result in self.results)


def available_cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_benchmarks(settings: Settings, progress: Callable[[str], None] | None = None) -> Report:
    """Measure.

    Parameters
    ----------
    settings : Settings
    progress : function of a line, optional
        Told what is going on.

    Raises
    ------
    ValueError, FileNotFoundError
        If a case, file or model is not known, or the reference is not installed.
    WorkerError
        If a process of either side fails.
    """
    cases = select_cases(settings.only)
    if settings.reference:
        check_reference()
    config = _config(settings.size)
    with tempfile.TemporaryDirectory(prefix="bert-numpy-bench-", ignore_cleanup_errors=True) as name:
        workspace = Workspace(Path(name))
        skipped = _write_inputs(cases, settings, config, workspace)
        tell = progress or (lambda line: None)
        with Benchmark(settings, workspace, tell) as benchmark:
            results = [
                Result(case, note=skipped[case.name]) if case.name in skipped else benchmark.measure(case)
                for case in cases
            ]
            about = benchmark.about
    return Report(results, about, _described(settings))


def _config(size: str) -> BertConfig:
    return BertConfig.preset(size) if size in PRESETS else BertConfig.from_pretrained(size)


def _described(settings: Settings) -> dict[str, object]:
    """The settings as the report prints them: files by their names, not by where they are."""
    return {
        "size": settings.size if settings.size in PRESETS else Path(settings.size).name,
        "repeats": settings.repeats,
        "threads": settings.threads,
        "sentences": settings.sentences.name if settings.sentences else "random ids, lengths as in Wikipedia",
        "text": settings.text.name if settings.text else "drawn from the vocabulary",
        "vocabulary": settings.tokenizer.vocab_size if settings.tokenizer else None,
    }


def _write_inputs(
    cases: Iterable[Case], settings: Settings, config: BertConfig, workspace: Workspace
) -> dict[str, str]:
    """Write what the cases read; returns {name of a case that cannot run: why}."""
    skipped: dict[str, str] = {}
    tokenizer = settings.tokenizer
    for case in cases:
        if case.needs_tokenizer:
            if tokenizer is None:
                skipped[case.name] = "no tokenizer; give --vocab"
            elif not workspace.text.exists():
                text = (
                    workload.drawn_text(tokenizer.convert_ids_to_tokens(range(tokenizer.vocab_size)))
                    if settings.text is None
                    else workload.read_text(settings.text, workload.LONGEST_TEXT)
                )
                workspace.write_text(text, tokenizer)
        elif case.shape is not None:
            if case.shape[1] > config.max_position_embeddings:
                skipped[case.name] = f"the model takes at most {config.max_position_embeddings} tokens"
            workspace.write_ids(case, workload.fixed_inputs(case.shape, config.vocab_size))
        elif settings.sentences is None:
            workspace.write_ids(case, workload.drawn_sentences(config))
        elif tokenizer is None:
            raise ValueError("sentences of yours need a tokenizer; give --vocab")
        else:
            workspace.write_ids(case, workload.read_sentences(settings.sentences, tokenizer, config))
    return skipped


class Side(NamedTuple):
    """One library: its name, how its worker is started, and the worker that lives through all cases."""

    name: str
    command: tuple[str, ...]
    worker: Worker


class Benchmark:
    """The workers of one run; as a context manager it ends them."""

    def __init__(self, settings: Settings, workspace: Workspace, tell: Callable[[str], None]) -> None:
        self.settings, self.workspace, self.tell = settings, workspace, tell
        self.about: dict[str, str] = {}
        self._sides: list[Side] = []
        self._last: Worker | None = None

    def __enter__(self) -> Benchmark:
        with ExitStack() as stack:  # ends what has been started, should the rest fail
            self.tell("writing the weights")
            source = self.settings.size
            with self._start("bert_numpy", (*OURS, "make-checkpoint", source, str(self.workspace.checkpoint))) as maker:
                maker.finish()
            commands = {"bert_numpy": OURS, **({"transformers": REFERENCE} if self.settings.reference else {})}
            for name, command in commands.items():
                self.tell(f"starting {name}")
                worker = stack.enter_context(self._start(name, command))
                self._sides.append(Side(name, command, worker))
                self.about |= worker.read()["about"]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def _start(self, name: str, command: tuple[str, ...]) -> Worker:
        return Worker(name, command, self.settings.threads, self.workspace.folder)

    def measure(self, case: Case) -> Result:
        """One row of the table."""
        self.tell(f"{case.title}: preparing")
        if case.kind == "memory":
            return self._memory(case)
        if case.kind == "start":
            return self._starts(case)
        variants = [side.worker.ask("prepare", case=self.workspace.describe(case))["variants"] for side in self._sides]
        difference = self._compare(case)
        if difference is not None and not difference.ok:
            return self._release(Result(case, difference=difference, note=_differs(difference)))
        ours, theirs, floor = self._rounds(case, variants)
        size = self.workspace.text.stat().st_size if case.needs_tokenizer else 0
        return self._release(Result(case, ours, theirs, floor, difference, size))

    def _release(self, result: Result) -> Result:
        for side in self._sides:
            side.worker.ask("release")
        return result

    def _compare(self, case: Case) -> Difference | None:
        """Both sides once, on the same ids and weights."""
        files = [self.workspace.folder / f"{side.name}.npz" for side in self._sides]
        for side, file in zip(self._sides, files, strict=True):
            side.worker.ask("check", file=str(file))
        return _compare_files(files)

    def _rounds(self, case: Case, variants: list[list[str]]) -> tuple[Sample, Sample | None, Sample | None]:
        """The samples of this package, of the reference's best variant, and of the floor."""
        taken: dict[tuple[int, str], list[float]] = {
            (number, variant): [] for number, names in enumerate(variants) for variant in names
        }
        for number, variant in taken:  # warm up
            self._turn(number, variant)
        for count in range(self.settings.repeats):
            self.tell(f"{case.title}: round {count + 1} of {self.settings.repeats}")
            for number, variant in list(taken)[:: -1 if count % 2 else 1]:
                taken[number, variant].append(of_turn(self._turn(number, variant)))
            if count == 1:
                _leave_out_slow_variants(taken)
        ours = Sample("numpy", tuple(taken[0, "numpy"]))
        floor = Sample("floor", tuple(taken[0, "floor"])) if (0, "floor") in taken else None
        reference = {variant: values for (number, variant), values in taken.items() if number == 1}
        return ours, fastest(reference) if reference else None, floor

    def _turn(self, number: int, variant: str) -> list[float]:
        worker = self._sides[number].worker
        if worker is not self._last:
            time.sleep(PAUSE_SECONDS)
        self._last = worker
        return worker.ask("run", variant=variant, seconds=TURN_SECONDS)["seconds"]

    def _first_answer(self, side: Side, case: Case) -> tuple[float, int | None, Path]:
        """(seconds from the start of a process to its answer, its peak of memory, the file of the answer)."""
        file = self.workspace.folder / f"{side.name}.npz"
        arguments = (str(self.workspace.checkpoint), str(self.workspace.ids(case)), str(file))
        time.sleep(PAUSE_SECONDS)
        start = time.perf_counter()
        with self._start(side.name, (*side.command, "first-answer", *arguments)) as worker:
            worker.read()
            seconds = time.perf_counter() - start
            peak = worker.read()["bytes"]
            worker.finish()
        return seconds, peak, file

    def _starts(self, case: Case) -> Result:
        """A fresh process each time; the first one of each side is not counted."""
        difference = _compare_files([self._first_answer(side, case)[2] for side in self._sides])
        if difference is not None and not difference.ok:
            return Result(case, difference=difference, note=_differs(difference))
        seconds: list[list[float]] = [[] for _ in self._sides]
        for count in range(self.settings.repeats):
            self.tell(f"{case.title}: round {count + 1} of {self.settings.repeats}")
            for side, values in zip(self._sides, seconds, strict=True):
                values.append(self._first_answer(side, case)[0])
        samples = [Sample(variant, tuple(values)) for variant, values in zip(("numpy", "sdpa"), seconds, strict=False)]
        return Result(case, samples[0], samples[1] if len(samples) > 1 else None, difference=difference)

    def _memory(self, case: Case) -> Result:
        """A fresh process for each side and variant; the reference counts with its lowest."""
        samples: list[Sample] = []
        of = find_case(case.of)
        for side in self._sides:
            peaks = {"": self._first_answer(side, of)[1]} if of.kind == "start" else self._peaks(side, case, of)
            known = {variant: [float(peak)] for variant, peak in peaks.items() if peak is not None}
            if not known:
                return Result(case, note="this system does not tell the peak of memory")
            samples.append(fastest(known))
        return Result(case, samples[0], samples[1] if len(samples) > 1 else None)

    def _peaks(self, side: Side, case: Case, of: Case) -> dict[str, int | None]:
        """Variant -> the peak of memory of a process that ran it twice."""
        peaks: dict[str, int | None] = {}
        variants = [""]
        while variants:
            variant = variants.pop(0)
            self.tell(f"{case.title}: {side.name} {variant}".rstrip())
            with self._start(side.name, side.command) as worker:
                worker.read()
                found = worker.ask("prepare", case=self.workspace.describe(of))["variants"]
                if not variant:  # the first process says which there are
                    variant, *variants = [name for name in found if name != "floor"]
                for _ in range(2):
                    worker.ask("run", variant=variant, seconds=0)
                peaks[variant] = worker.ask("peak")["bytes"]
        return peaks


def _leave_out_slow_variants(taken: dict[tuple[int, str], list[float]]) -> None:
    """Drop the reference's variants that are clearly not its best, so that the rounds take less time."""
    medians = {key: float(np.median(values)) for key, values in taken.items() if key[0] == 1}
    for key, median in medians.items():
        if median > BEHIND * min(medians.values()):
            del taken[key]


def _compare_files(files: list[Path]) -> Difference | None:
    """The outputs of both sides; None if there is only one."""
    if len(files) < 2:
        return None
    return compare_outputs(read_arrays(files[0]), read_arrays(files[1]))


def _differs(difference: Difference) -> str:
    return f"not measured: {difference.name} differs by {difference.relative:.0e} of its RMS"
