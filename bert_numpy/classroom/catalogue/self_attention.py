"""Self-attention: the heads, the layers of queries, keys and values, and what flows back through them."""

from __future__ import annotations

import numpy as np

from ...models.encoder import BertSelfAttention
from ..exercise import Cases, Chapter, Exercise, Mistake
from ..inputs import additive_mask, generator, randomized, small_config

B, A, S, D = 2, 3, 5, 4


def _module(rng: np.random.Generator, p: float = 0.0) -> BertSelfAttention:
    config = small_config(attention_probs_dropout_prob=p)
    module: BertSelfAttention = randomized(BertSelfAttention(config, np.float64, generator(rng)), rng)
    return module


def _split_inputs(rng: np.random.Generator) -> Cases:
    return [(_module(rng), rng.standard_normal((B, S, A * D)))]


def _merge_inputs(rng: np.random.Generator) -> Cases:
    return [(_module(rng), rng.standard_normal((B, A, S, D)))]


def _attend_inputs(rng: np.random.Generator) -> Cases:
    def case(module: BertSelfAttention, mask: np.ndarray | None) -> tuple[object, ...]:
        return module, *rng.standard_normal((3, B, S, A * D)), mask

    return [case(_module(rng, 0.4), additive_mask((3, 5), S)), case(_module(rng, 0.4).train(), None)]


def _self_attention_inputs(rng: np.random.Generator) -> Cases:
    hidden_states = rng.standard_normal((3, B, S, A * D))
    return [
        (_module(rng, 0.4), hidden_states[0], additive_mask((3, 5), S)),
        (_module(rng, 0.4).train(), hidden_states[1], None),
        (_module(rng), hidden_states[2], additive_mask((5, 2), S)),
    ]


CHAPTER = Chapter(
    slug="self_attention",
    title="Self-attention",
    about="Queries, keys and values all come from the same hidden states, each through a layer of its own.  They are "
    "cut into heads, which attend apart and are joined again.  This is your first module: `self.query` and the like "
    "are layers that own their parameters, with `forward` and `backward` as you wrote them.  Tutorial 5.",
    exercises=(
        Exercise(
            target="bert_numpy.models.encoder:BertSelfAttention._split_heads",
            title="Splitting into heads",
            points=3,
            minutes=10,
            tutorial=5,
            inputs=_split_inputs,
            notes="(B, S, H) becomes (B, A, S, D), with A = self.num_attention_heads and D = H/A.  Head 0 owns the "
            "first D coordinates of each hidden state, head 1 the next D, and so on.",
            hints=(
                "`reshape` cuts, `transpose` moves axes.  Reshape never moves a number: which axis can it cut here?",
                "Cut the last axis into two, heads and coordinates of a head, in the order in which they lie.",
                "After that the axes are (B, S, A, D); two of them change places.",
            ),
            mistakes=(
                Mistake(
                    "reshaped only",
                    "x.reshape(B, S, self.num_attention_heads, -1).transpose(0, 2, 1, 3)",
                    "x.reshape(B, self.num_attention_heads, S, -1)",
                    "The shape is right, the numbers are not: reshape to (B, A, S, D) cuts through the tokens, so that "
                    "a head holds pieces of different words.",
                ),
                Mistake(
                    "heads interleaved",
                    "x.reshape(B, S, self.num_attention_heads, -1).transpose(0, 2, 1, 3)",
                    "x.reshape(B, S, -1, self.num_attention_heads).transpose(0, 3, 1, 2)",
                    "Head 0 holds the coordinates 0, A, 2A and so on.  In the published weights a head's coordinates "
                    "lie side by side.",
                ),
                Mistake(
                    "axes not exchanged",
                    ".transpose(0, 2, 1, 3)",
                    "",
                    "The axes are (B, S, A, D).  For the products of attention, tokens and coordinates must be the "
                    "last two.",
                ),
                Mistake(
                    "heads transposed",
                    ".transpose(0, 2, 1, 3)",
                    ".transpose(0, 2, 3, 1)",
                    "The axes are (B, A, D, S): each head is transposed.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertSelfAttention._merge_heads",
            title="Merging heads",
            points=2,
            minutes=5,
            needs=("BertSelfAttention._split_heads",),
            tutorial=5,
            inputs=_merge_inputs,
            notes="The way back: (B, A, S, D) becomes (B, S, H).  Splitting and merging again changes nothing.",
            hints=(
                "Undo the two steps of splitting, the last one first.",
                "The heads of one token must lie side by side before they can be joined.",
                "Exchange the axes of heads and tokens; then `reshape` joins the last two of the four.",
            ),
            mistakes=(
                Mistake(
                    "reshaped only",
                    "x.transpose(0, 2, 1, 3).reshape(B, S, A * D)",
                    "x.reshape(B, S, A * D)",
                    "The shape is right, the numbers are not: the rows of one head are laid end to end, so that a "
                    "token receives pieces of others.",
                ),
                Mistake(
                    "heads interleaved",
                    "x.transpose(0, 2, 1, 3)",
                    "x.transpose(0, 2, 3, 1)",
                    "The heads alternate in the result.  Each head's D coordinates stay together.",
                ),
                Mistake(
                    "tokens and sequences exchanged",
                    "x.transpose(0, 2, 1, 3)",
                    "x.transpose(2, 0, 1, 3)",
                    "The axis of the tokens stands before that of the batch when the heads are joined, and sequences "
                    "are mixed.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertSelfAttention._attend",
            title="Attention of all heads",
            points=5,
            minutes=10,
            needs=("scaled_dot_product_attention_forward", "BertSelfAttention._merge_heads"),
            tutorial=5,
            inputs=_attend_inputs,
            call="attend",
            notes="Queries, keys and values of all heads, (B, S, H), become the context (B, S, H) and the attention "
            "weights (B, A, S, S); the third thing that is returned is the cache of "
            "`F.scaled_dot_product_attention_forward`, and `F` is `nn/functional.py`.  A dropout layer knows the "
            "probability that holds now, `self.dropout.active_p`, and its generator, `self.dropout.rng`.",
            hints=(
                "Split, attend, merge.  Which of the two outputs of attention is to be merged?",
                "`F.scaled_dot_product_attention_forward` takes six arguments: three arrays (B, A, S, D), the mask, a "
                "probability and a generator.",
                "It returns two things, the first of which is a pair.  The weights stay as they are: one matrix for "
                "each head.",
            ),
            mistakes=(
                Mistake(
                    "query and key exchanged",
                    "            self._split_heads(query),\n            self._split_heads(key),",
                    "            self._split_heads(key),\n            self._split_heads(query),",
                    "Keys stand where the queries belong, and the other way round.",
                ),
                Mistake(
                    "one head",
                    "self._split_heads(query)",
                    "query[:, np.newaxis]",
                    "There is one head of size H.  It is to be A heads of size H/A, each with a softmax of its own.",
                    also=(
                        ("self._split_heads(key)", "key[:, np.newaxis]"),
                        ("self._split_heads(value)", "value[:, np.newaxis]"),
                        ("self._merge_heads(context)", "context[:, 0]"),
                    ),
                ),
                Mistake(
                    "mask not handed on",
                    "            mask,\n",
                    "            None,\n",
                    "The mask does not arrive where the scores are.",
                ),
                Mistake(
                    "dropout left on",
                    "self.dropout.active_p",
                    "self.dropout.p",
                    "Weights are dropped in eval mode too.  `p` is the probability in training.",
                ),
                Mistake(
                    "no dropout",
                    "self.dropout.active_p",
                    "0.0",
                    "In training mode no attention weight is dropped.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertSelfAttention.forward",
            omits=(
                ", or (1, N, H) if packed",
                ", or a Packing",
                "A Packing says which ... for each of its groups.",
            ),
            title="Self-attention, forward",
            points=5,
            minutes=10,
            needs=("linear_forward", "BertSelfAttention._attend"),
            tutorial=5,
            inputs=_self_attention_inputs,
            notes="`self._attend(query, key, value, mask)` is that of the exercise before: it returns context, weights "
            "and cache.",
            hints=(
                "Three linear layers read the same hidden states: `self.query`, `self.key`, `self.value`.",
                "Each `forward` returns its output and a cache.  With the cache of attention, four are kept.",
                "The outputs are a pair, so what is returned looks like ((context, weights), (four caches, mask)).",
            ),
            mistakes=(
                Mistake(
                    "keys from the layer of the queries",
                    "key, key_cache = self.key.forward(hidden_states)",
                    "key, key_cache = self.query.forward(hidden_states)",
                    "Keys and queries come from one layer.  Then asking and being asked would be the same.",
                ),
                Mistake(
                    "values not projected",
                    "value, value_cache = self.value.forward(hidden_states)",
                    "value, value_cache = hidden_states, None",
                    "The hidden states themselves are mixed.  Values have a layer of their own.",
                ),
                Mistake(
                    "no bias in the queries",
                    "query, query_cache = self.query.forward(hidden_states)",
                    "query, query_cache = hidden_states @ self.query.weight.data.T, None",
                    "The queries lack their bias.  (That of the keys could go unnoticed: it shifts all scores of a row "
                    "by one number.)",
                ),
                Mistake(
                    "weights not transposed",
                    "query, query_cache = self.query.forward(hidden_states)",
                    "query, query_cache = hidden_states @ self.query.weight.data + self.query.bias.data, None",
                    "The matrix of the queries is used untransposed: it is stored (out, in), and being square it does "
                    "not complain.",
                ),
                Mistake(
                    "mask not handed on",
                    "self._attend(query, key, value, attention_mask)",
                    "self._attend(query, key, value, None)",
                    "The mask does not arrive where the scores are: padding is attended to.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertSelfAttention.backward",
            of="bert_numpy.models.encoder:BertSelfAttention.forward",
            title="Self-attention, backward",
            points=5,
            minutes=15,
            needs=("BertSelfAttention.forward", "linear_backward", "scaled_dot_product_attention_backward"),
            tutorial=5,
            inputs=_self_attention_inputs,
            notes="In the cache: those of the three layers, that of attention, and the mask, which is None or an array "
            "and not needed.  Given is `self._attend_backward(dcontext, dprobs, attention_cache)`: it splits the "
            "gradient of the context into heads, goes back through attention, and returns the merged gradients of "
            "queries, keys and values.  A layer's `backward` adds to the gradients of its weights by itself.",
            hints=(
                "Three gradients come out of attention.  Through which layer did each of the three arrays come in?",
                "The hidden states were read three times.  What reads the same array more than once sends it as many "
                "gradients.",
                "They add up: a sum of three layers' `backward(gradient, cache)`.",
            ),
            mistakes=(
                Mistake(
                    "path through the keys missing",
                    "            + self.key.backward(dkey, key_cache)\n",
                    "",
                    "The hidden states lack one of three gradients, and the layer of the keys receives none.",
                ),
                Mistake(
                    "path through the values missing",
                    "            + self.value.backward(dvalue, value_cache)\n",
                    "",
                    "The hidden states lack one of three gradients, and the layer of the values receives none.",
                ),
                Mistake(
                    "gradients of queries and keys exchanged",
                    "self.query.backward(dquery, query_cache)",
                    "self.query.backward(dkey, query_cache)",
                    "The layer of the queries gets the gradient of the keys, and the other way round.",
                    also=(("self.key.backward(dkey, key_cache)", "self.key.backward(dquery, key_cache)"),),
                ),
                Mistake(
                    "gradient of the weights ignored",
                    "self._attend_backward(dcontext, dprobs, attention_cache)",
                    "self._attend_backward(dcontext, None, attention_cache)",
                    "The attention weights are an output, and their gradient does not take part.",
                ),
                Mistake(
                    "gradients not handed down",
                    "            + self.key.backward(dkey, key_cache)\n"
                    "            + self.value.backward(dvalue, value_cache)\n",
                    "            + 0 * self.key.backward(dkey, key_cache)\n"
                    "            + 0 * self.value.backward(dvalue, value_cache)\n",
                    "The layers' own gradients are right, but of the three that they hand down only that of the "
                    "queries is returned.",
                ),
            ),
        ),
    ),
)
