"""One layer of the encoder, from its pieces: two halves, each with its residual and norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.encoder import BertAttention, BertLayer
from ..exercise import Cases, Chapter, Exercise, Mistake, Variant
from ..inputs import additive_mask, generator, randomized, small_config
from .layer_parts import PRE_LN

B, S = 2, 5
CONFIG = small_config(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
H = CONFIG.hidden_size


def _inputs_of(kind: Any) -> Callable[[np.random.Generator], Cases]:
    """Cases for a module that takes hidden states and a mask: in training, and in eval mode with padding."""

    def inputs(rng: np.random.Generator) -> Cases:
        module = randomized(kind(CONFIG, np.float64, generator(rng)), rng)
        other = randomized(kind(CONFIG, np.float64, generator(rng)), rng)
        return [
            (module, rng.standard_normal((B, S, H)), additive_mask((3, 5), S)),
            (other.train(), rng.standard_normal((B, S, H)), None),
        ]

    return inputs


CHAPTER = Chapter(
    slug="encoder_layer",
    title="A layer of BERT",
    about="Two halves make a layer.  Watch which array is read twice: in the forward it is a residual, in the "
    "backward a sum of two gradients.  Tutorial 6.",
    exercises=(
        Exercise(
            target="bert_numpy.models.encoder:BertAttention.forward",
            title="The first half of a layer, forward",
            points=3,
            minutes=10,
            needs=("BertSelfAttention.forward", "BertOutput.forward"),
            tutorial=6,
            inputs=_inputs_of(BertAttention),
            notes="Return ((hidden states (B, S, H), attention weights (B, A, S, S)), cache).",
            hints=(
                "Two modules: `self.self` lets tokens attend, `self.output` ends the half.",
                "`self.output` takes two arguments.  One has attended; what has gone around attention?",
                "What is returned looks like ((hidden states, weights), (two caches)).",
            ),
            mistakes=(
                Mistake(
                    "residual of the wrong tensor",
                    "self.output.forward(context, hidden_states)",
                    "self.output.forward(context, context)",
                    "The context is its own residual.  The residual is what the half was given.",
                ),
                Mistake(
                    "arguments exchanged",
                    "self.output.forward(context, hidden_states)",
                    "self.output.forward(hidden_states, context)",
                    "The hidden states go through the matrix and the context goes around it.  All shapes fit, and it "
                    "is the wrong way round.",
                ),
                Mistake(
                    "no projection",
                    "self.output.forward(context, hidden_states)",
                    "self.output.LayerNorm.forward(context + hidden_states)",
                    "The heads are never mixed: `self.output` has a matrix, and the context goes through it.",
                ),
                Mistake(
                    "mask not handed on",
                    "self.self.forward(hidden_states, attention_mask)",
                    "self.self.forward(hidden_states, None)",
                    "The mask does not arrive: padding is attended to.",
                ),
                Mistake(
                    "normalized before attention",
                    "self.self.forward(hidden_states, attention_mask)",
                    "self.self.forward(self.output.LayerNorm.forward(hidden_states)[0], attention_mask)",
                    "What attention reads is normalized once more, as in later Transformers.  BERT's norm comes last.",
                ),
            ),
            variants=(
                Variant(
                    "pre-ln",
                    "        (context, probs), self_cache = self.self.forward(hidden_states, attention_mask)\n"
                    "        y, output_cache = self.output.forward(context, hidden_states)\n"
                    "        return (y, probs), (self_cache, output_cache)",
                    "        normed, norm_cache = self.output.LayerNorm.forward(hidden_states)\n"
                    "        (context, probs), self_cache = self.self.forward(normed, attention_mask)\n"
                    "        h, dense_cache = self.output.dense.forward(context)\n"
                    "        h, dropout_cache = self.output.dropout.forward(h)\n"
                    "        output_cache = (dense_cache, dropout_cache, norm_cache)\n"
                    "        return (h + hidden_states, probs), (self_cache, output_cache)",
                    PRE_LN + "Call the layers within `self.output` one by one: y = dropout(dense(attention(LayerNorm(x)"
                    "))) + x.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertAttention.backward",
            of="bert_numpy.models.encoder:BertAttention.forward",
            title="The first half of a layer, backward",
            points=5,
            minutes=10,
            needs=("BertAttention.forward", "BertSelfAttention.backward", "BertOutput.backward"),
            tutorial=6,
            inputs=_inputs_of(BertAttention),
            notes="In the cache: those of `self.self` and `self.output`.  `dprobs` is the gradient of the attention "
            "weights, or None.",
            hints=(
                "The hidden states were used twice in the forward.  Where?",
                "`self.output.backward` returns two gradients; `self.self.backward` takes one of them, and `dprobs`.",
                "What comes out of attention and what came around it add up.",
            ),
            mistakes=(
                Mistake(
                    "gradient of the residual forgotten",
                    " + dresidual",
                    "",
                    "Only the path through attention is there.  The hidden states went around it as well.",
                ),
                Mistake(
                    "path through attention forgotten",
                    "self.self.backward(dcontext, dprobs, self_cache) + dresidual",
                    "dresidual",
                    "Only the residual's path is there, and queries, keys and values receive no gradient.",
                ),
                Mistake(
                    "gradient of the weights ignored",
                    "self.self.backward(dcontext, dprobs, self_cache)",
                    "self.self.backward(dcontext, None, self_cache)",
                    "The attention weights are an output, and their gradient is not handed on.",
                ),
                Mistake(
                    "residual gets dy",
                    " + dresidual",
                    " + dy",
                    "The gradient that went around has not passed the norm.",
                ),
                Mistake(
                    "attention gets the gradient of the residual",
                    "self.self.backward(dcontext, dprobs, self_cache)",
                    "self.self.backward(dresidual, dprobs, self_cache)",
                    "Attention receives the gradient that has not passed the matrix of `self.output`.",
                ),
            ),
            variants=(
                Variant(
                    "pre-ln",
                    "        dcontext, dresidual = self.output.backward(dy, output_cache)\n"
                    "        return self.self.backward(dcontext, dprobs, self_cache) + dresidual",
                    "        dense_cache, dropout_cache, norm_cache = output_cache\n"
                    "        dh = self.output.dropout.backward(dy, dropout_cache)\n"
                    "        dcontext = self.output.dense.backward(dh, dense_cache)\n"
                    "        dnormed = self.self.backward(dcontext, dprobs, self_cache)\n"
                    "        return self.output.LayerNorm.backward(dnormed, norm_cache) + dy",
                    PRE_LN + "The forward is y = dropout(dense(attention(LayerNorm(x)))) + x, and `output_cache` holds "
                    "the caches of `self.output.dense`, `self.output.dropout` and `self.output.LayerNorm`.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertLayer.forward",
            title="A whole layer, forward",
            points=3,
            minutes=10,
            needs=("BertAttention.forward", "BertIntermediate.forward", "BertOutput.forward"),
            tutorial=6,
            inputs=_inputs_of(BertLayer),
            notes="`self.attention`, `self.intermediate` and `self.output` are what you wrote before.",
            hints=(
                "Three modules, in the order in which the constructor makes them.",
                "The second half has a residual too: what does that half begin with?",
                "`self.output` takes the I numbers and what attention returned.  Three caches are kept.",
            ),
            mistakes=(
                Mistake(
                    "second residual from the layer's input",
                    "self.output.forward(h, attended)",
                    "self.output.forward(h, hidden_states)",
                    "The residual of the second half is the input of the layer.  Each half adds what that half was "
                    "given.",
                ),
                Mistake(
                    "feed-forward network reads the layer's input",
                    "self.intermediate.forward(attended)",
                    "self.intermediate.forward(hidden_states)",
                    "The feed-forward network does not see what attention has done.",
                ),
                Mistake(
                    "no second residual",
                    "self.output.forward(h, attended)",
                    "self.output.forward(h, np.zeros_like(attended))",
                    "The second half has no residual.",
                ),
                Mistake(
                    "residual added twice",
                    "y, output_cache = self.output.forward(h, attended)",
                    "y, output_cache = self.output.forward(h, attended)\n        y = y + attended",
                    "The residual is added once more behind the norm.  `self.output` has done it already.",
                ),
                Mistake(
                    "second half left out",
                    "y, output_cache = self.output.forward(h, attended)",
                    "y, output_cache = attended, None",
                    "What attention returns is the output: the feed-forward network takes no part.",
                ),
                Mistake(
                    "mask not handed on",
                    "self.attention.forward(hidden_states, attention_mask)",
                    "self.attention.forward(hidden_states, None)",
                    "The mask does not arrive: padding is attended to.",
                ),
            ),
            variants=(
                Variant(
                    "pre-ln",
                    "        (attended, probs), attention_cache = "
                    "self.attention.forward(hidden_states, attention_mask)\n"
                    "        h, intermediate_cache = self.intermediate.forward(attended)  # (B, S, I)\n"
                    "        y, output_cache = self.output.forward(h, attended)\n",
                    "        first, second = self.attention.output, self.output\n"
                    "        h, norm_cache = first.LayerNorm.forward(hidden_states)\n"
                    "        (h, probs), self_cache = self.attention.self.forward(h, attention_mask)\n"
                    "        h, dense_cache = first.dense.forward(h)\n"
                    "        h, dropout_cache = first.dropout.forward(h)\n"
                    "        attention_cache = (self_cache, (dense_cache, dropout_cache, norm_cache))\n"
                    "        attended = h + hidden_states\n"
                    "        h, norm_cache = second.LayerNorm.forward(attended)\n"
                    "        h, intermediate_cache = self.intermediate.forward(h)  # (B, S, I)\n"
                    "        h, dense_cache = second.dense.forward(h)\n"
                    "        h, dropout_cache = second.dropout.forward(h)\n"
                    "        output_cache = (dense_cache, dropout_cache, norm_cache)\n"
                    "        y = h + attended\n",
                    PRE_LN + "`self.attention` and `self.output` are the library's, post-LN, so call the layers within "
                    "them one by one: h = dropout(dense(attention(LayerNorm(x)))) + x, then y = dropout(dense("
                    "intermediate(LayerNorm(h)))) + h.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertLayer.backward",
            of="bert_numpy.models.encoder:BertLayer.forward",
            title="A whole layer, backward",
            points=8,
            minutes=15,
            needs=("BertLayer.forward", "BertAttention.backward", "BertIntermediate.backward", "BertOutput.backward"),
            tutorial=6,
            inputs=_inputs_of(BertLayer),
            notes="In the cache: those of `self.attention`, `self.intermediate` and `self.output`.  `dprobs` is the "
            "gradient of the attention weights, or None.",
            hints=(
                "Draw the forward: which array has two arrows going out of it?",
                "What attention returned was read by the feed-forward network and was its residual.  So it receives "
                "two gradients, which add before they go on.",
                "`self.output`, then `self.intermediate`, then a sum, then `self.attention`, which also takes "
                "`dprobs`.",
            ),
            mistakes=(
                Mistake(
                    "gradient of the residual forgotten",
                    "dattended = dattended + self.intermediate.backward(dh, intermediate_cache)",
                    "dattended = self.intermediate.backward(dh, intermediate_cache)",
                    "Only the path through the feed-forward network goes on.  Its residual has a gradient too.",
                ),
                Mistake(
                    "path through the feed-forward network forgotten",
                    "dattended = dattended + self.intermediate.backward(dh, intermediate_cache)",
                    "self.intermediate.backward(dh, intermediate_cache)",
                    "The feed-forward network has its own gradients, but what it hands down is lost.",
                ),
                Mistake(
                    "residual leads around attention too",
                    "dattended = dattended + self.intermediate.backward(dh, intermediate_cache)\n"
                    "        return self.attention.backward(dattended, dprobs, attention_cache)",
                    "dx = self.intermediate.backward(dh, intermediate_cache)\n"
                    "        return self.attention.backward(dx, dprobs, attention_cache) + dattended",
                    "The second residual's gradient goes straight to the layer's input.  It began behind attention, "
                    "and must go back through it.",
                ),
                Mistake(
                    "gradient of the weights ignored",
                    "self.attention.backward(dattended, dprobs, attention_cache)",
                    "self.attention.backward(dattended, None, attention_cache)",
                    "The attention weights are an output, and their gradient is not handed on.",
                ),
                Mistake(
                    "residual counted twice",
                    "dattended = dattended + self.intermediate",
                    "dattended = 2 * dattended + self.intermediate",
                    "The gradient of the residual is counted twice: one array, two readers, two gradients in all.",
                ),
            ),
            variants=(
                Variant(
                    "pre-ln",
                    "        dh, dattended = self.output.backward(dy, output_cache)\n"
                    "        dattended = dattended + self.intermediate.backward(dh, intermediate_cache)\n"
                    "        return self.attention.backward(dattended, dprobs, attention_cache)",
                    "        first, second = self.attention.output, self.output\n"
                    "        dense_cache, dropout_cache, norm_cache = output_cache\n"
                    "        dh = second.dense.backward(second.dropout.backward(dy, dropout_cache), dense_cache)\n"
                    "        dh = self.intermediate.backward(dh, intermediate_cache)\n"
                    "        dattended = second.LayerNorm.backward(dh, norm_cache) + dy\n"
                    "        self_cache, (dense_cache, dropout_cache, norm_cache) = attention_cache\n"
                    "        dh = first.dense.backward(first.dropout.backward(dattended, dropout_cache), dense_cache)\n"
                    "        dh = self.attention.self.backward(dh, dprobs, self_cache)\n"
                    "        return first.LayerNorm.backward(dh, norm_cache) + dattended",
                    PRE_LN + "The forward is h = dropout(dense(attention(LayerNorm(x)))) + x, then y = dropout(dense("
                    "intermediate(LayerNorm(h)))) + h.  `attention_cache` is (that of `self.attention.self`, that of "
                    "the layers in `self.attention.output`); the latter and `output_cache` hold dense, dropout and "
                    "LayerNorm in this order.",
                ),
            ),
        ),
    ),
)
