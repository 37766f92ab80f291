"""How far a training run is, on one line of a terminal that overwrites itself.

      120/1500    8 %  loss 0.4312  3.21 it/s  7:10 left

Where stderr is no terminal, nothing is shown: the log is `train_log.jsonl`.  Read next: `run_log.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from .arguments import TrainingArguments
from .callbacks import TrainerCallback
from .state import TrainerControl, TrainerState


def describe(done: int, total: int, loss: float | None, rate: float) -> str:
    """One line for people.

    Parameters
    ----------
    done, total : int
        Steps.
    loss : float, optional
    rate : float
        Steps a second; 0 while it is not known.

    Examples
    --------
    >>> describe(120, 1500, 0.43119, 3.21)
    ' 120/1500    8 %  loss 0.4312  3.21 it/s  7:10 left'
    """
    width = len(str(total))
    parts = [f"{done:{width}d}/{total}  {100 * done // max(total, 1):3d} %"]
    if loss is not None:
        parts.append(f"loss {loss:.4f}")
    if rate > 0:
        parts.append(f"{rate:.2f} it/s")
        parts.append(f"{duration((total - done) / rate)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours as well.

    Examples
    --------
    >>> duration(429.6), duration(3725)
    ('7:10', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class ProgressCallback(TrainerCallback):
    """Shows the line, ten times a second at most.

    Parameters
    ----------
    stream : text stream, optional
        stderr, as it is when training begins, if not given.
    clock : function returning seconds

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> ProgressCallback(stream).show("a line", last=True)
    >>> stream.getvalue()
    ''
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._given, self._clock = stream, clock
        self._began = self._shown = -1.0
        self._start, self._width = 0, 0
        self._line = ""
        self._training = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began, self._start = self._clock(), state.global_step
        self._training = True

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        loss: float | None = None,
        **kwargs: Any,
    ) -> None:
        rate = (state.global_step - self._start) / max(self._clock() - self._began, 1e-9)
        self._line = describe(state.global_step, state.max_steps, loss, rate)
        self.show(self._line)

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        batches_done: int = 0,
        num_batches: int = 0,
        **kwargs: Any,
    ) -> None:
        line = f"evaluating {batches_done}/{num_batches}"
        shown = f"{self._line}  {line}" if self._training else line
        self.show(shown.lstrip(), last=batches_done == num_batches and not self._training)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.close()

    def show(self, line: str, last: bool = False) -> None:
        """Overwrite the line, unless that was done a moment ago; the last one stays."""
        stream = sys.stderr if self._given is None else self._given
        now = self._clock()
        if stream is None or not stream.isatty() or (now - self._shown < 0.1 and not last):
            return
        self._shown = now
        stream.write("\r" + line.ljust(self._width) + ("\n" if last else ""))
        self._width = 0 if last else len(line)
        stream.flush()

    def close(self) -> None:
        """End the line, if training shows one, so that whatever is printed next begins on its own."""
        if self._training:
            self._training = False
            self.show(self._line, last=True)
