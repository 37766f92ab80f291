"""Attention: the mask, the scaled dot product, and its backward."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant
from ..inputs import additive_mask, generator

B, A, S, D = 2, 3, 5, 4


def _mask_inputs(rng: np.random.Generator) -> Cases:
    padded = (np.arange(6) < np.array([[4], [6], [1]])).astype(np.int64)
    of_each_query = rng.integers(0, 2, (B, S, S))
    of_each_query[:, :, 0] = 1
    return [
        (padded, padded.shape, np.dtype(np.float32)),
        (padded.astype(bool), padded.shape, np.dtype(np.float64)),
        (of_each_query, (B, S), np.dtype(np.float32)),
    ]


def _attention_inputs(rng: np.random.Generator) -> Cases:
    def case(mask: np.ndarray | None, p: float) -> tuple[object, ...]:
        query, key, value = rng.standard_normal((3, B, A, S, D))
        return 2 * query, key, value, mask, p, generator(rng)

    of_each_query = np.where(rng.random((B, 1, S, S)) < 0.3, -1e9, 0.0) * (np.arange(S) > 0)
    moderate = -1.5 * rng.random((B, 1, 1, S))
    moderate[0] = -1e30  # a sequence that is hidden throughout attends evenly
    return [case(additive_mask((3, 5), S), 0.0), case(None, 0.4), case(of_each_query, 0.2), case(moderate, 0.0)]


def _backward_inputs(rng: np.random.Generator) -> Cases:
    """Without the sequence that is hidden throughout, whose scores are lost in rounding beside the mask."""
    return _attention_inputs(rng)[:-1]


CHAPTER = Chapter(
    slug="attention",
    title="Attention",
    about="The one place where tokens see each other.  Each asks with a query, each answers with a key, and the values "
    "are mixed by how well the two agree.  Tutorial 5 derives both directions.",
    exercises=(
        Exercise(
            target="bert_numpy.models.inputs:additive_mask",
            omits=("Warns",),
            title="From ones and zeros to a mask that is added",
            points=5,
            minutes=10,
            tutorial=5,
            inputs=_mask_inputs,
            call="mask",
            notes="The checks are not asked for: every mask here is right, and hides something.  Write no warning.",
            hints=(
                "Where a query may look, nothing is added to its score.  What must be added elsewhere, so that softmax "
                "gives 0 there?",
                "The result broadcasts against scores of shape (B, A, S, S), whose last axis is that of the keys.  A "
                "mask of shape (B, S) is about keys: it is the same for all heads and all queries.",
                "`np.finfo(dtype).min` is the lowest number of a dtype; infinity times 0 is NaN.  Make an array of "
                "truth values first, True where nobody may look, and give it the axes that are missing.",
            ),
            mistakes=(
                Mistake(
                    "the wrong tokens are hidden",
                    "return hidden.reshape(B, 1, -1, S)",
                    "return (~hidden).reshape(B, 1, -1, S)",
                    "The tokens are hidden and the padding is left.  A 1 in the mask says: look here.",
                ),
                Mistake(
                    "0 times infinity",
                    "np.finfo(dtype).min",
                    "-np.inf",
                    "0 · ∞ is NaN, and it is added to the tokens that may be seen.  Take a number, or choose: "
                    "`np.where`.",
                ),
                Mistake(
                    "minus infinity",
                    "hidden.reshape(B, 1, -1, S).astype(dtype) * np.finfo(dtype).min",
                    "np.where(hidden.reshape(B, 1, -1, S), -np.inf, 0).astype(dtype)",
                    "Minus infinity is added.  It works until a row is hidden throughout: then softmax divides 0 by 0. "
                    "Asked for is the lowest finite number.",
                ),
                Mistake(
                    "-10000, as in Google's program",
                    "np.finfo(dtype).min",
                    "-10000",
                    "-10000 is what Google's program adds.  Most scores are small enough for it; asked for is the "
                    "lowest number of the dtype.",
                ),
                Mistake(
                    "-1e9, a number of one's own",
                    "np.finfo(dtype).min",
                    "-1e9",
                    "-1e9 hides as well, in float32 and float64; in float16 it is minus infinity.  Asked for is the "
                    "lowest number of the dtype, whichever that is.",
                ),
                Mistake(
                    "queries hidden instead of keys",
                    "hidden.reshape(B, 1, -1, S)",
                    "hidden.reshape(B, 1, S, -1)",
                    "A mask of shape (B, S) lies along the queries: padding does not look, but it is looked at.  Which "
                    "axis of the scores is that of the keys?",
                ),
                Mistake(
                    "no axis for the heads",
                    "hidden.reshape(B, 1, -1, S)",
                    "hidden",
                    "The axes for heads and queries are missing, so that the mask is broadcast along others.",
                ),
                Mistake(
                    "dtype of the model not kept",
                    ".astype(dtype) * np.finfo(dtype).min",
                    " * float(np.finfo(dtype).min)",
                    "The mask is float64 whatever the model is.  Added to float32 scores it would widen all that "
                    "follows.",
                ),
            ),
            variants=(
                Variant(
                    "causal-mask",
                    "hidden.reshape(B, 1, -1, S)",
                    "(hidden.reshape(B, 1, -1, S) | (np.arange(S) > np.arange(S)[:, np.newaxis]))",
                    "Here the mask is also causal: query i sees no key behind i.  The result is of shape (B, 1, S, S).",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:scaled_dot_product_attention_forward",
            title="Scaled dot product attention, forward",
            points=10,
            minutes=20,
            needs=("softmax_forward", "dropout_forward"),
            tutorial=5,
            inputs=_attention_inputs,
            notes="`softmax_forward` and `dropout_forward` are the library's; call each once.  Heads and sequences are "
            "leading axes: `@` multiplies the last two of each.",
            hints=(
                "Start with one head of one sequence: Q and K are S x D.  Which product has, at [i, j], the dot "
                "product of query i and key j?",
                "Five steps in this order: scale, product, mask, softmax, dropout.  D is the length of one query, not "
                "that of a hidden state.",
                "`swapaxes(-1, -2)` transposes the last two axes and leaves the others.  What is returned as weights "
                "has been through dropout, and it is these that multiply the values.",
            ),
            mistakes=(
                Mistake(
                    "no scale",
                    "1 / math.sqrt(query.shape[-1])",
                    "1.0",
                    "The scores are not divided.  The more coordinates, the larger the dot products, and softmax would "
                    "all but pick one key.",
                ),
                Mistake(
                    "divided by D, not by its root",
                    "1 / math.sqrt(query.shape[-1])",
                    "1 / query.shape[-1]",
                    "The scores are divided by D.  Their standard deviation grows with the root of D.",
                ),
                Mistake(
                    "scale of all heads together",
                    "1 / math.sqrt(query.shape[-1])",
                    "1 / math.sqrt(query.shape[-1] * query.shape[1])",
                    "The scale is that of H, the size of a hidden state.  A query has D = H/A coordinates.",
                ),
                Mistake(
                    "mask left out",
                    "scores += mask",
                    "pass",
                    "The mask does not take part: every token attends to padding.",
                ),
                Mistake(
                    "the mask in the place of scores",
                    "scores += mask",
                    "scores = np.where(mask < 0, mask, scores)",
                    "Where the mask hides a key you put the mask in the place of the score.  The mask is added; where "
                    "a query may look at nothing at all, the scores still differ.",
                ),
                Mistake(
                    "mask scaled too",
                    "scores += mask",
                    "scores += mask * scale",
                    "The mask is divided with the scores.  It is added to scores that have been scaled before.",
                ),
                Mistake(
                    "minus infinity in the place of the mask",
                    "scores += mask",
                    "scores = np.where(mask < 0, -np.inf, scores)",
                    "Where the mask is negative the scores become minus infinity, whatever it says.  Where a sequence "
                    "is hidden throughout, softmax then divides 0 by 0.",
                ),
                Mistake(
                    "mask added after softmax",
                    "    if mask is not None:\n        scores += mask\n"
                    "    probs, softmax_cache = softmax_forward(scores)",
                    "    probs, softmax_cache = softmax_forward(scores)\n    if mask is not None:\n"
                    "        probs = probs + mask",
                    "The mask is added to the weights.  It belongs to the scores, from which softmax makes the "
                    "weights.",
                ),
                Mistake(
                    "weights zeroed after softmax",
                    "    if mask is not None:\n        scores += mask\n"
                    "    probs, softmax_cache = softmax_forward(scores)",
                    "    probs, softmax_cache = softmax_forward(scores)\n    if mask is not None:\n"
                    "        probs = probs * (mask == 0)",
                    "The hidden keys get 0, but the weights of the others no longer add up to 1: softmax shared "
                    "among all of them.  Mask before.",
                ),
                Mistake(
                    "key and query exchanged",
                    "(query * scale) @ key.swapaxes(-1, -2)",
                    "(key * scale) @ query.swapaxes(-1, -2)",
                    "The scores are transposed: row i is what the others ask of token i.  It should be what i asks.",
                ),
                Mistake(
                    "softmax over the queries",
                    "probs, softmax_cache = softmax_forward(scores)",
                    "softmax_cache = softmax_forward(scores.swapaxes(-1, -2))[1]\n"
                    "    probs = softmax_cache.swapaxes(-1, -2)",
                    "The weights of a column add up to 1.  Each query has one unit to share among the keys.",
                ),
                Mistake(
                    "no dropout",
                    "dropout_forward(probs, dropout_p, rng)",
                    "dropout_forward(probs, 0.0, rng)",
                    "No attention weight is dropped, though `dropout_p` asks for it.",
                ),
                Mistake(
                    "weights returned as before dropout",
                    "probs, dropout_cache = dropout_forward(probs, dropout_p, rng)",
                    "kept, dropout_cache = dropout_forward(probs, dropout_p, rng)",
                    "The context is right; the weights beside it are those before dropout.  Return those that were "
                    "used.",
                    also=(("np.matmul(probs, value", "np.matmul(kept, value"),),
                ),
            ),
            variants=(
                Variant(
                    "causal-mask",
                    "probs, softmax_cache = softmax_forward(scores)",
                    "behind = np.arange(scores.shape[-1]) > np.arange(scores.shape[-2])[:, np.newaxis]\n"
                    "    probs, softmax_cache = softmax_forward(np.where(behind, -np.inf, scores))",
                    "Here attention is causal: query i sees the keys 0 to i, of these the ones that `mask` allows, and "
                    "none behind.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:scaled_dot_product_attention_backward",
            of="bert_numpy.nn.functional:scaled_dot_product_attention_forward",
            title="Scaled dot product attention, backward",
            points=20,
            minutes=30,
            needs=("scaled_dot_product_attention_forward", "softmax_backward", "dropout_backward"),
            tutorial=5,
            inputs=_backward_inputs,
            notes="In the cache: query, key, value (B, A, S, D), unscaled; probs (B, A, S, S), the weights after "
            "dropout; and what `softmax_backward` and `dropout_backward` want, which are the library's.  `dprobs` is "
            "None where the weights themselves have no gradient.",
            hints=(
                "Walk the forward from its end to its beginning.  Of a product Y = A B, the gradients are dA = dY Bᵀ "
                "and dB = Aᵀ dY; the shapes leave no other choice.",
                "The weights receive two gradients, one from the context and one that is given; they add.  Then come "
                "dropout, softmax, the sum with the mask, which is no parameter, and the product of query and key.",
                "The gradient of the scores, times the keys and the scale, is that of the queries.  That of the keys "
                "wants the scores' gradient transposed.",
            ),
            mistakes=(
                Mistake(
                    "no scale",
                    "scale = 1 / math.sqrt(query.shape[-1])",
                    "scale = 1",
                    "dvalue is right, dquery and dkey are too large by one factor: the forward had scaled the queries.",
                ),
                Mistake(
                    "dkey without the scale",
                    "(dscores.swapaxes(-1, -2) @ query) * scale",
                    "dscores.swapaxes(-1, -2) @ query",
                    "dkey lacks the scale.  Key met the scaled query, and the cache holds the unscaled one.",
                ),
                Mistake(
                    "dropout left out",
                    "dropout_backward(dprobs, dropout_cache)",
                    "dprobs",
                    "Weights that were dropped in the forward still receive a gradient.",
                ),
                Mistake(
                    "softmax left out",
                    "softmax_backward(dropout_backward(dprobs, dropout_cache), softmax_cache)",
                    "dropout_backward(dprobs, dropout_cache)",
                    "The gradient of the weights is taken for that of the scores.  Softmax lies between the two.",
                ),
                Mistake(
                    "softmax element by element",
                    "softmax_backward(dropout_backward(dprobs, dropout_cache), softmax_cache)",
                    "dropout_backward(dprobs, dropout_cache) * (softmax_cache * (1 - softmax_cache))",
                    "Softmax is treated like a sigmoid, y (1 - y).  A score moves every weight of its row, not its own "
                    "alone.",
                ),
                Mistake(
                    "dropout and softmax in the wrong order",
                    "softmax_backward(dropout_backward(dprobs, dropout_cache), softmax_cache)",
                    "dropout_backward(softmax_backward(dprobs, softmax_cache), dropout_cache)",
                    "Softmax is undone before dropout.  In the forward dropout came last, so here it comes first.",
                ),
                Mistake(
                    "dkey from untransposed scores",
                    "dscores.swapaxes(-1, -2) @ query",
                    "dscores @ query",
                    "dkey sums over the keys where it should sum over the queries that looked at a key.",
                ),
                Mistake(
                    "dvalue from untransposed weights",
                    "probs.swapaxes(-1, -2) @ dcontext",
                    "probs @ dcontext",
                    "dvalue is mixed like the context.  A value gathers from all queries that looked at it: the other "
                    "axis of the weights.",
                ),
                Mistake(
                    "gradient of the weights ignored",
                    "dprobs_of_context if dprobs is None else dprobs_of_context + dprobs",
                    "dprobs_of_context",
                    "The weights are an output too: the gradient that is given for them does not take part.",
                ),
            ),
        ),
    ),
)
