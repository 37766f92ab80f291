"""The pieces of a layer: the wide matrix with its activation, and how each half of a layer ends."""

from __future__ import annotations

import numpy as np

from ...models.encoder import BertIntermediate, BertOutput
from ..exercise import Cases, Chapter, Exercise, Mistake, Variant
from ..inputs import generator, randomized, small_config

B, S = 2, 5
CONFIG = small_config(hidden_dropout_prob=0.3)
H, I = CONFIG.hidden_size, CONFIG.intermediate_size  # noqa: E741  the paper's letters
PRE_LN = "Here the layer is pre-LN: each half normalizes what it reads, and its residual passes by unnormalized.  "


def _intermediate_inputs(rng: np.random.Generator) -> Cases:
    return [(randomized(BertIntermediate(CONFIG, np.float64), rng), 2 * rng.standard_normal((B, S, H)))]


def _output_inputs(rng: np.random.Generator) -> Cases:
    cases: Cases = []
    for training, shape in ((False, (2, 5)), (True, (3, 4))):
        module = randomized(BertOutput(I, CONFIG, np.float64, generator(rng)), rng)
        cases.append((module.train(training), rng.standard_normal((*shape, I)), rng.standard_normal((*shape, H))))
    return cases


CHAPTER = Chapter(
    slug="layer_parts",
    title="The pieces of a layer",
    about="A layer has two halves, attention and a feed-forward network, and both end alike: dropout, the residual, "
    "LayerNorm.  From here on you assemble modules: `self.dense` and the like own their parameters, each `forward` "
    "returns an output and a cache, and each `backward` adds to the gradients of its parameters by itself.  Tutorial "
    "6.",
    exercises=(
        Exercise(
            target="bert_numpy.models.encoder:BertIntermediate.forward",
            title="The wide layer, forward",
            points=2,
            minutes=5,
            needs=("linear_forward", "gelu_forward"),
            tutorial=6,
            inputs=_intermediate_inputs,
            notes="x is of shape (..., H), what is returned y (..., I) and a cache.",
            hints=(
                "Two steps; the class says in which order.",
                "`self.intermediate_act_fn` is GELU as a layer: it has a `forward` too.",
                "H becomes I in the first step and stays I in the second.  Two caches are kept.",
            ),
            mistakes=(
                Mistake(
                    "no activation",
                    "self.intermediate_act_fn.forward(h)",
                    "h, None",
                    "The activation is missing.  Without it, this matrix and the next would be one matrix.",
                ),
                Mistake(
                    "ReLU",
                    "self.intermediate_act_fn.forward(h)",
                    "np.maximum(h, 0), None",
                    "This is ReLU.  BERT's activation is the one that the configuration names.",
                ),
                Mistake(
                    "GELU in its tanh form",
                    "self.intermediate_act_fn.forward(h)",
                    "F.gelu_new_forward(h)",
                    "This is the form with tanh, off by up to 5e-4.  `self.intermediate_act_fn` knows which one is "
                    "wanted.",
                ),
                Mistake(
                    "activation before the matrix",
                    "self.dense.forward(x)",
                    "self.dense.forward(self.intermediate_act_fn.forward(x)[0])",
                    "The activation comes before the matrix.  It acts on the I numbers, not on the H.",
                    also=(("self.intermediate_act_fn.forward(h)", "h, None"),),
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertIntermediate.backward",
            of="bert_numpy.models.encoder:BertIntermediate.forward",
            title="The wide layer, backward",
            points=3,
            minutes=5,
            needs=("BertIntermediate.forward", "linear_backward", "gelu_backward"),
            tutorial=6,
            inputs=_intermediate_inputs,
            notes="In the cache: that of `dense` and that of the activation, which is the x that GELU was given.",
            hints=(
                "The last step of the forward comes first.",
                "`backward(gradient, cache)`, twice, each with its own cache.",
                "The activation turns dy into the gradient of the I numbers that the matrix returned; the matrix "
                "turns that into the gradient of x.",
            ),
            mistakes=(
                Mistake(
                    "activation left out",
                    "self.intermediate_act_fn.backward(dy, act_cache)",
                    "dy",
                    "The gradient does not pass the activation.",
                ),
                Mistake(
                    "value in place of the slope",
                    "self.intermediate_act_fn.backward(dy, act_cache)",
                    "dy * self.intermediate_act_fn.forward(act_cache)[0]",
                    "The gradient is multiplied by GELU itself.  The chain rule wants its slope.",
                ),
                Mistake(
                    "slope of ReLU",
                    "self.intermediate_act_fn.backward(dy, act_cache)",
                    "dy * (act_cache > 0)",
                    "This is the slope of ReLU, a step.  The forward is GELU.",
                ),
                Mistake(
                    "slope of the tanh form",
                    "self.intermediate_act_fn.backward(dy, act_cache)",
                    "F.gelu_new_backward(dy, F.gelu_new_forward(act_cache)[1])",
                    "This is the slope of the form with tanh, while the forward has the one with Φ.  It trains all the "
                    "same, and no loss curve shows it.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertOutput.forward",
            title="How each half of a layer ends, forward",
            points=5,
            minutes=10,
            needs=("layer_norm_forward", "dropout_forward", "linear_forward"),
            tutorial=6,
            inputs=_output_inputs,
            notes="Return y (..., H) and a cache.  The residual is what this half of the layer was given.",
            hints=(
                "Three layers in a row, and one sum.  Which of the two arguments goes through the matrix?",
                "Each `forward` returns its output and a cache; the backward needs all three caches.",
                "Dropout acts on what the matrix returns, before the residual is added; the norm comes last.",
            ),
            mistakes=(
                Mistake("no residual", "h + residual", "h", "The residual does not take part."),
                Mistake(
                    "no norm",
                    "self.LayerNorm.forward(h + residual)",
                    "h + residual, None",
                    "The sum is returned as it is.  LayerNorm is missing.",
                ),
                Mistake(
                    "residual added after the norm",
                    "y, norm_cache = self.LayerNorm.forward(h + residual)",
                    "y, norm_cache = self.LayerNorm.forward(h)\n        y = y + residual",
                    "The residual is added after the norm.  In BERT the norm comes last: its input is the sum.",
                ),
                Mistake(
                    "dropout on the sum",
                    "h, dropout_cache = self.dropout.forward(h)\n"
                    "        y, norm_cache = self.LayerNorm.forward(h + residual)",
                    "h, dropout_cache = self.dropout.forward(h + residual)\n"
                    "        y, norm_cache = self.LayerNorm.forward(h)",
                    "The residual is dropped too.  It passes by the dropout: that is what keeps it a residual.",
                ),
                Mistake(
                    "no dropout",
                    "h, dropout_cache = self.dropout.forward(h)",
                    "dropout_cache = None",
                    "In training mode nothing is dropped.",
                ),
                Mistake(
                    "dropout after the norm",
                    "h, dropout_cache = self.dropout.forward(h)\n"
                    "        y, norm_cache = self.LayerNorm.forward(h + residual)",
                    "y, norm_cache = self.LayerNorm.forward(h + residual)\n"
                    "        y, dropout_cache = self.dropout.forward(y)",
                    "Dropout comes last and zeroes parts of the normalized sum.  It belongs behind the matrix.",
                ),
            ),
            variants=(
                Variant(
                    "pre-ln",
                    "self.LayerNorm.forward(h + residual)",
                    "h + residual, None",
                    PRE_LN + "So a half ends without a norm, with dropout(dense(x)) + residual, and `self.LayerNorm` "
                    "waits for the exercises on BertAttention and BertLayer.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertOutput.backward",
            of="bert_numpy.models.encoder:BertOutput.forward",
            title="How each half of a layer ends, backward",
            points=8,
            minutes=15,
            needs=("BertOutput.forward", "layer_norm_backward", "dropout_backward", "linear_backward"),
            tutorial=6,
            inputs=_output_inputs,
            notes="In the cache: those of `dense`, of `dropout` and of `LayerNorm`.  Return the gradients of x and of "
            "the residual.",
            hints=(
                "Go through the forward from its end to its beginning; each layer has a `backward(gradient, cache)`.",
                "A sum passes its gradient to both of its terms, unchanged.",
                "One of the two terms is the residual, which is done; the other goes on through dropout and matrix.",
            ),
            mistakes=(
                Mistake(
                    "dropout left out",
                    "dh = self.dropout.backward(dresidual, dropout_cache)",
                    "dh = dresidual",
                    "What was dropped in the forward still receives a gradient.",
                ),
                Mistake(
                    "norm left out",
                    "dresidual = self.LayerNorm.backward(dy, norm_cache)",
                    "dresidual = dy",
                    "The gradient does not pass the norm, and γ and β receive none.",
                ),
                Mistake(
                    "residual gets dy",
                    "dresidual = self.LayerNorm.backward(dy, norm_cache)",
                    "dresidual, dsum = dy, self.LayerNorm.backward(dy, norm_cache)",
                    "The gradient of the residual has not passed the norm.  The sum was normalized after the residual "
                    "had come in.",
                    also=(("self.dropout.backward(dresidual,", "self.dropout.backward(dsum,"),),
                ),
                Mistake(
                    "residual through the dropout",
                    "self.dense.backward(dh, dense_cache), dresidual",
                    "self.dense.backward(dh, dense_cache), dh",
                    "The gradient of the residual has passed the dropout, which the residual itself did not.",
                ),
                Mistake(
                    "gradient of the residual forgotten",
                    "self.dense.backward(dh, dense_cache), dresidual",
                    "self.dense.backward(dh, dense_cache), np.zeros_like(dresidual)",
                    "The residual receives nothing.  It is the short way by which gradients reach the first layers.",
                ),
            ),
            variants=(
                Variant(
                    "pre-ln",
                    "dresidual = self.LayerNorm.backward(dy, norm_cache)",
                    "dresidual = dy",
                    PRE_LN + "The forward is dropout(dense(x)) + residual, and `norm_cache` is None.",
                ),
            ),
        ),
    ),
)
