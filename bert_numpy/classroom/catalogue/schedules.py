"""Learning rates from step to step, and one whole training step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...models.pretraining_heads import BertForMaskedLM
from ..exercise import Cases, Chapter, Exercise, Mistake
from ..inputs import randomized, small_config


def _linear_inputs(rng: np.random.Generator) -> Cases:
    return [(1.0, 4, 12), (0.5, 0, 5), (2.0, int(rng.integers(1, 5)), 10), (1.0, 3, 3)]


def _cosine_inputs(rng: np.random.Generator) -> Cases:
    return [(1.0, 4, 12), (0.5, 0, 5), (2.0, int(rng.integers(1, 5)), 10, 1.5), (1.0, 2, 9, 1.0)]


def _step_inputs(rng: np.random.Generator) -> Cases:
    config = small_config(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)

    def batch() -> dict[str, Any]:
        labels = rng.integers(0, config.vocab_size, (2, 5))
        return {
            "input_ids": rng.integers(1, config.vocab_size, (2, 5)),
            "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
            "labels": np.where(np.array([[0, 1, 0, 1, 0], [0, 0, 1, 0, 0]]), labels, -100),
        }

    def model() -> BertForMaskedLM:
        made: BertForMaskedLM = randomized(
            BertForMaskedLM(config, dtype=np.float64, rng=int(rng.integers(99))), rng
        ).train()
        return made

    return [(model(), [batch(), batch()], 0.5), (model(), [batch()], 1.0)]


WARMUP_HELPERS = "The helpers that the library has for this are part of the solution: write your own, or do without."

CHAPTER = Chapter(
    slug="schedules",
    title="Schedules, and a training step",
    about="The learning rate rises from 0, for Adam's means are of few gradients at first, and falls to 0, so that "
    "the weights come to rest.  Then the last exercise: one step of training, from a batch to the gradients of a "
    "whole BERT.  Tutorials 9 and 10.",
    exercises=(
        Exercise(
            target="bert_numpy.training.schedules:get_linear_schedule_with_warmup",
            parts=("_warmed_up", "_linear_decay", "_check"),
            title="Warm-up and linear decay",
            points=5,
            minutes=15,
            tutorial=9,
            call="schedule",
            inputs=_linear_inputs,
            notes="`LambdaLR(optimizer, f, last_epoch)` is what is returned; f(step) is the factor that the rate is "
            "multiplied by when `step` steps have been taken.  " + WARMUP_HELPERS + "  No error is asked for.",
            hints=(
                "Write a function inside the function: it takes the step and returns the factor.",
                "Two straight lines: through (0, 0) and (W, 1), then through (W, 1) and (T, 0).",
                "Below W the factor is t/W.  From W on it is the share of the remaining way, (T - t) of (T - W), and "
                "never below 0; W may be 0, and T may be W.",
            ),
            mistakes=(
                Mistake(
                    "decay counted from step 0",
                    "_linear_decay(num_warmup_steps, num_training_steps)",
                    "_linear_decay(0, num_training_steps)",
                    "The decay is counted from step 0, as in Google's program: the rate jumps down where the warm-up "
                    "ends.  Here it begins there.",
                ),
                Mistake(
                    "warm-up one step ahead",
                    "step / num_warmup_steps",
                    "(step + 1) / num_warmup_steps",
                    "The warm-up begins with 1/W.  At step 0 the factor is 0: the first update does nothing.",
                ),
                Mistake(
                    "no warm-up",
                    "step / num_warmup_steps if step < num_warmup_steps else decay(step)",
                    "min(1.0, decay(step))",
                    "The rate starts at its highest.  The warm-up is missing.",
                ),
                Mistake(
                    "below 0",
                    "max(0.0, (end - step) / max(1, end - start))",
                    "(end - step) / max(1, end - start)",
                    "After the last step the factor is negative: the optimizer would go uphill.",
                ),
                Mistake(
                    "at 0 too early",
                    "(end - step) / max(1, end - start)",
                    "(end - start - step) / max(1, end - start)",
                    "The rate is 0 when W steps are still to come: the steps of the warm-up are subtracted once too "
                    "often.",
                ),
                Mistake(
                    "stays at its highest",
                    "max(0.0, (end - step) / max(1, end - start))",
                    "1.0",
                    "After the warm-up the rate stays.  It is to fall to 0 at the last step.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.schedules:get_google_schedule_with_warmup",
            parts=("_warmed_up", "_linear_decay", "_check"),
            title="The schedule of Google's BERT",
            points=2,
            minutes=5,
            needs=("get_linear_schedule_with_warmup",),
            tutorial=9,
            call="schedule",
            inputs=_linear_inputs,
            notes=WARMUP_HELPERS,
            hints=(
                "The same as before but for one thing: where does the decay begin to count?",
                "The line goes through (0, 1) and (T, 0).  While the warm-up lasts, it is not looked at.",
                "t/W below W; from W on the share of all T steps that is left, and never less than 0.",
            ),
            mistakes=(
                Mistake(
                    "decay counted from the end of the warm-up",
                    "_linear_decay(0, num_training_steps)",
                    "_linear_decay(num_warmup_steps, num_training_steps)",
                    "This is the schedule of the exercise before.  Google counts the decay from step 0: at step 550 of "
                    "1000, with a warm-up of 100, the factor is 0.45, not 0.5.",
                ),
                Mistake(
                    "warm-up one step too long",
                    "if step < num_warmup_steps else",
                    "if 0 < step <= num_warmup_steps else",
                    "Step W still belongs to the warm-up.  There the decay has taken over, and the rate has jumped.",
                ),
                Mistake(
                    "warm-up times decay",
                    "step / num_warmup_steps if step < num_warmup_steps else decay(step)",
                    "min(1.0, step / max(1, num_warmup_steps)) * decay(step)",
                    "Warm-up and decay are multiplied.  The warm-up overrides the decay while it lasts.",
                ),
                Mistake(
                    "warm-up one step ahead",
                    "step / num_warmup_steps if",
                    "(step + 1) / num_warmup_steps if",
                    "The warm-up begins with 1/W.  At step 0 the factor is 0.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.schedules:get_cosine_schedule_with_warmup",
            parts=("_warmed_up", "_check"),
            title="Warm-up and cosine",
            points=3,
            minutes=10,
            needs=("get_linear_schedule_with_warmup",),
            tutorial=9,
            call="schedule",
            inputs=_cosine_inputs,
            notes=WARMUP_HELPERS + "  No error is asked for.",
            hints=(
                "x is the share of the way from W to T that is done.",
                "The formula of the docstring with `math.cos`; half a wave, n = 0.5, goes from 1 to 0.",
                "Behind T the formula would rise again with x > 1; the library leaves that, and only never goes below "
                "0.",
            ),
            mistakes=(
                Mistake(
                    "2 missing before π",
                    "2 * math.pi * num_cycles * progress",
                    "math.pi * num_cycles * progress",
                    "Only half of the wave is gone through: at the end half of the rate is left.",
                ),
                Mistake(
                    "not halved",
                    "0.5 * (1 + math.cos",
                    "(1 + math.cos",
                    "The rate begins at twice its highest value: 1 + cos is 2 where the warm-up ends.",
                ),
                Mistake(
                    "1 left out",
                    "0.5 * (1 + math.cos(2 * math.pi * num_cycles * progress))",
                    "math.cos(2 * math.pi * num_cycles * progress)",
                    "This is the cosine itself: it is below 0 for half of its wave, where the rate would be 0.",
                ),
                Mistake(
                    "counted from step 0",
                    "(step - num_warmup_steps) / length",
                    "step / max(1, num_training_steps)",
                    "The wave begins at step 0.  It begins where the warm-up ends.",
                ),
                Mistake(
                    "no warm-up",
                    "step / num_warmup_steps if step < num_warmup_steps else decay(step)",
                    "decay(step)",
                    "The warm-up is missing.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.trainer:Trainer.training_step",
            title="A training step",
            points=5,
            minutes=15,
            needs=("BertLMPredictionHead.backward", "BertEncoder.backward", "BertEmbeddings.backward"),
            tutorial=10,
            call="training_step",
            inputs=_step_inputs,
            notes="Of the trainer only `self.args.gradient_checkpointing` is read, which is False here; errors are "
            "not asked for.  A model returns (outputs, cache) from `forward(**inputs)`; `loss_of(outputs)` is its "
            "loss as a float; `model.backward(gradient of the loss, cache)` adds to the gradients of all parameters.  "
            "The optimizer steps elsewhere, when all batches of a step are done.",
            hints=(
                "Forward, loss, backward.  Which of the three needs `scale`?",
                "With k batches to a step, each adds 1/k of its gradient.  What is returned is for the log.",
                "The gradient of scale · loss with respect to the loss is what backward is to begin with.",
            ),
            mistakes=(
                Mistake(
                    "gradient not scaled",
                    "model.backward(scale, cache)",
                    "model.backward(1.0, cache)",
                    "`scale` does not take part: with k batches to a step, the gradient is k times too large.",
                ),
                Mistake(
                    "loss scaled",
                    "        return loss",
                    "        return scale * loss",
                    "The loss that is returned is scaled.  Only the gradient is; the log shows the loss itself.",
                ),
                Mistake(
                    "backward from the loss",
                    "model.backward(scale, cache)",
                    "model.backward(scale * loss, cache)",
                    "Backward begins with the loss itself.  It begins with the gradient of the loss, which is 1 for "
                    "one batch.",
                ),
                Mistake(
                    "gradients cleared",
                    "        if math.isfinite(loss):",
                    "        model.zero_grad()\n        if math.isfinite(loss):",
                    "The gradients of the batches before are lost.  They add up until the optimizer has stepped.",
                ),
                Mistake(
                    "no backward",
                    "model.backward(scale, cache)",
                    "pass",
                    "No gradient is computed.",
                ),
                Mistake(
                    "dropout off",
                    "model.forward(**inputs, **policy)",
                    "model.eval().forward(**inputs, **policy)",
                    "The model is in eval mode: nothing is dropped in training.",
                ),
                Mistake(
                    "mask left out",
                    "model.forward(**inputs, **policy)",
                    "model.forward(**{**inputs, 'attention_mask': None}, **policy)",
                    "The attention mask does not reach the model: padding is attended to.  Hand on all inputs.",
                ),
            ),
        ),
    ),
)
