"""What stands around the layers: embeddings, the stack, the pooler."""

from __future__ import annotations

import numpy as np

from ...models.bert import BertEmbeddings, BertPooler
from ...models.encoder import BertEncoder
from ..exercise import Cases, Chapter, Exercise, Mistake, Variant
from ..inputs import additive_mask, generator, randomized, small_config

B, S = 3, 5
CONFIG = small_config(hidden_dropout_prob=0.3, num_hidden_layers=3)
H = CONFIG.hidden_size


def _embedding_inputs(rng: np.random.Generator) -> Cases:
    def module() -> BertEmbeddings:
        embeddings: BertEmbeddings = randomized(BertEmbeddings(CONFIG, np.float64, generator(rng)), rng)
        return embeddings

    def ids(size: int) -> np.ndarray:
        return rng.integers(0, size, (B, S))

    return [
        (module(), ids(CONFIG.vocab_size), ids(2), np.arange(S)[np.newaxis], None),
        (module().train(), ids(CONFIG.vocab_size), ids(2), ids(9), None),
        (module(), None, ids(2), np.arange(S)[np.newaxis], rng.standard_normal((B, S, H))),
    ]


def _encoder_inputs(rng: np.random.Generator, outputs: bool = True) -> Cases:
    def module() -> BertEncoder:
        encoder: BertEncoder = randomized(BertEncoder(CONFIG, np.float64, generator(rng)), rng)
        return encoder

    mask = additive_mask((3, 5, 4), S)
    return [
        (module(), rng.standard_normal((B, S, H)), mask, outputs, outputs, "keep"),
        (module().train(), rng.standard_normal((B, S, H)), None, False, False, "keep"),
    ]


def _pooler_inputs(rng: np.random.Generator) -> Cases:
    return [(randomized(BertPooler(CONFIG, np.float64), rng), rng.standard_normal((B, S, H)))]


SINUSOIDS = (
    "angles = position_ids[..., np.newaxis] / 10000 ** (np.arange(self.LayerNorm.weight.data.size) // 2 / 6)\n"
    "        even = np.arange(angles.shape[-1]) % 2 == 0\n"
    "        position_cache = None\n"
    "        positions = np.where(even, np.sin(angles), np.cos(angles)).astype(self.LayerNorm.weight.dtype)"
)

CHAPTER = Chapter(
    slug="bert_model",
    title="The model: embeddings, layers, pooler",
    about="With these six methods BERT is whole: three tables are added and normalized, the layers follow one upon the "
    "other, and the first token's hidden state is made into one vector for the text.  Tutorials 2 and 7.",
    exercises=(
        Exercise(
            target="bert_numpy.models.bert:BertEmbeddings.forward",
            title="Embeddings, forward",
            points=5,
            minutes=15,
            needs=("embedding_forward", "layer_norm_forward", "dropout_forward"),
            tutorial=2,
            inputs=_embedding_inputs,
            notes="Return the embeddings and a cache.  Either `input_ids` or `inputs_embeds` is None.  `position_ids` "
            "are of shape (B, S), or (1, S) if they are the same for all sequences.",
            hints=(
                "Three tables, three kinds of ids.  The class says in one line what becomes of what they return.",
                "Each table's `forward(ids)` returns vectors and a cache.  If the word vectors are given, nothing is "
                "looked up for them.",
                "One sum of three terms, one norm, one dropout, in this order; (1, S, H) broadcasts against (B, S, "
                "H).  The backward will want to know whether it did.",
            ),
            mistakes=(
                Mistake(
                    "segments left out",
                    "inputs_embeds + positions + types",
                    "inputs_embeds + positions",
                    "`token_type_ids` make no difference: sentence A and sentence B cannot be told apart.",
                ),
                Mistake(
                    "positions left out",
                    "inputs_embeds + positions + types",
                    "inputs_embeds + types",
                    "Positions make no difference.  Attention does not know any order: without them a text is a heap "
                    "of words.",
                ),
                Mistake(
                    "positions off by one",
                    "self.position_embeddings.forward(position_ids)",
                    "self.position_embeddings.forward(position_ids + 1)",
                    "The vectors are those of the next position.  BERT counts from 0, with [CLS].",
                ),
                Mistake(
                    "own positions in place of those given",
                    "self.position_embeddings.forward(position_ids)",
                    "self.position_embeddings.forward(np.arange(token_type_ids.shape[1])[np.newaxis])",
                    "The positions are counted anew.  `position_ids` need not be 0, 1, 2 ...",
                ),
                Mistake(
                    "sinusoids",
                    "positions, position_cache = self.position_embeddings.forward(position_ids)",
                    SINUSOIDS,
                    "These are the sinusoids of the Transformer paper.  BERT's positions are a table that is learnt.",
                ),
                Mistake(
                    "words scaled",
                    "inputs_embeds + positions + types",
                    "inputs_embeds * types.shape[-1] ** 0.5 + positions + types",
                    "The word vectors are multiplied by √H.  The Transformer of 2017 did so; BERT adds them as they "
                    "are.",
                ),
                Mistake(
                    "no norm",
                    "self.LayerNorm.forward(inputs_embeds + positions + types)",
                    "inputs_embeds + positions + types, None",
                    "The sum is not normalized.",
                ),
                Mistake(
                    "words normalized alone",
                    "y, norm_cache = self.LayerNorm.forward(inputs_embeds + positions + types)",
                    "y, norm_cache = self.LayerNorm.forward(inputs_embeds)\n        y = y + positions + types",
                    "The norm is applied to the words before the rest is added.  It is that of the whole sum.",
                ),
                Mistake(
                    "no dropout",
                    "y, dropout_cache = self.dropout.forward(y)",
                    "dropout_cache = None",
                    "In training mode nothing is dropped.",
                ),
                Mistake(
                    "dropout before the norm",
                    "y, norm_cache = self.LayerNorm.forward(inputs_embeds + positions + types)\n"
                    "        y, dropout_cache = self.dropout.forward(y)",
                    "y, dropout_cache = self.dropout.forward(inputs_embeds + positions + types)\n"
                    "        y, norm_cache = self.LayerNorm.forward(y)",
                    "Dropout comes before the norm.  Here, other than at the end of a layer, it comes after.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.bert:BertEmbeddings.backward",
            of="bert_numpy.models.bert:BertEmbeddings.forward",
            title="Embeddings, backward",
            points=8,
            minutes=20,
            needs=("BertEmbeddings.forward", "embedding_backward", "layer_norm_backward", "dropout_backward"),
            tutorial=2,
            inputs=_embedding_inputs,
            notes="In the cache: those of the tables, `word_cache` being None where the word vectors were given; of "
            "norm and dropout; and `position_rows`, the number of sequences that `position_ids` had rows for, 1 or B.",
            hints=(
                "Dropout and norm first.  Then there is one gradient, that of the sum, for all three terms.",
                "A table's `backward(gradient, cache)` takes a gradient for each id that was looked up, and returns "
                "nothing.",
                "Where one row of positions served every sequence, it was used B times: what broadcast in the forward "
                "is summed in the backward, over the axis of the batch, which stays with length 1.",
            ),
            mistakes=(
                Mistake(
                    "broadcast positions not summed",
                    "dsum.sum(axis=0, keepdims=True) if shared else dsum",
                    "dsum",
                    "The position table learns from the first sequence alone.  Its row was used by all sequences of "
                    "the batch.",
                ),
                Mistake(
                    "broadcast positions averaged",
                    "dsum.sum(axis=0, keepdims=True)",
                    "dsum.mean(axis=0, keepdims=True)",
                    "The position table receives the mean over the batch.  What is used B times receives B gradients, "
                    "and they add.",
                ),
                Mistake(
                    "dropout left out",
                    "dy = self.dropout.backward(dy, dropout_cache)",
                    "pass",
                    "What was dropped in the forward still receives a gradient.",
                ),
                Mistake(
                    "norm left out",
                    "dsum = self.LayerNorm.backward(dy, norm_cache)",
                    "dsum = dy",
                    "The gradient does not pass the norm, and γ and β receive none.",
                ),
                Mistake(
                    "segments receive nothing",
                    "self.token_type_embeddings.backward(dsum, type_cache)",
                    "pass",
                    "The table of the segments receives no gradient.",
                ),
                Mistake(
                    "words receive what came before the norm",
                    "self.word_embeddings.backward(dsum, word_cache)",
                    "self.word_embeddings.backward(dy, word_cache)",
                    "The word table receives a gradient that has not passed the norm; the other tables are right.",
                ),
                Mistake(
                    "gradient of the output returned",
                    "return dsum",
                    "return dy",
                    "The tables are right.  What is returned is the gradient behind the norm, not that of the word "
                    "vectors.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertEncoder.forward",
            title="The stack of layers, forward",
            points=5,
            minutes=15,
            needs=("BertLayer.forward",),
            tutorial=7,
            inputs=_encoder_inputs,
            notes='The policy is "keep" here: keep the cache of every layer.  The other two, and the check, '
            "are not asked for.",
            hints=(
                "A loop over `self.layer`.  What one layer returns is what the next one reads.",
                "A layer's `forward(hidden states, mask)` returns ((hidden states, weights), cache).",
                "The list of hidden states begins with those that came in, so it is one longer than the list of "
                "weights.  Either is None if it was not asked for, else a tuple.",
            ),
            mistakes=(
                Mistake(
                    "one layer for all",
                    "(hidden_states, probs), cache = layer.forward(hidden_states, attention_mask)",
                    "(hidden_states, probs), cache = self.layer[0].forward(hidden_states, attention_mask)",
                    "The first layer's weights are used L times.  ALBERT does so; BERT has L layers.",
                ),
                Mistake(
                    "every layer reads the embeddings",
                    "(hidden_states, probs), cache = layer.forward(hidden_states, attention_mask)",
                    "(hidden_states, probs), cache = layer.forward(all_hidden_states[0], attention_mask)",
                    "Every layer reads the first hidden states, so that only the last layer matters.",
                ),
                Mistake(
                    "last layer left out",
                    "for layer in self.layer:",
                    "for layer in self.layer[:-1]:",
                    "One layer too few is run.",
                ),
                Mistake(
                    "mask not handed on",
                    "(hidden_states, probs), cache = layer.forward(hidden_states, attention_mask)",
                    "(hidden_states, probs), cache = layer.forward(hidden_states, None)",
                    "The mask does not reach the layers.  All of them need it, not the first alone.",
                ),
                Mistake(
                    "embeddings missing among the hidden states",
                    "all_hidden_states, attentions = [hidden_states], []",
                    "all_hidden_states, attentions = [], []",
                    "There are L hidden states.  What came in counts as the first of L + 1.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.encoder:BertEncoder.backward",
            of="bert_numpy.models.encoder:BertEncoder.forward",
            omits=("Emptied layer by layer, so that memory falls as backward goes.", "Raises"),
            title="The stack of layers, backward",
            points=5,
            minutes=10,
            needs=("BertEncoder.forward", "BertLayer.backward"),
            tutorial=7,
            inputs=lambda rng: _encoder_inputs(rng, outputs=False),
            notes="In the cache: `kept`, a list with the cache of each layer, the first layer's first; the mask and "
            "the "
            'policy, which is "keep".  `dall_hidden_states` and `dattentions` are None here, and the errors are not '
            "asked for.  The library pops the caches from the list, so that memory falls as backward goes; you may "
            "leave them there.",
            hints=(
                "The forward's loop the other way round.",
                "A layer's `backward(gradient, gradient of the weights or None, cache)` returns what the layer before "
                "receives.",
                "Each layer needs the cache of its own forward.  `list.pop()` takes the last one: that fits.",
            ),
            mistakes=(
                Mistake(
                    "layers from first to last",
                    "for i in reversed(range(L)):",
                    "for i in range(L):",
                    "The first layer comes first.  Its gradient is what the second one hands down.",
                ),
                Mistake(
                    "caches of other layers",
                    "kept.pop()",
                    "kept.pop(0)",
                    "The last layer gets the cache of the first.  All shapes fit, so nothing complains.",
                ),
                Mistake(
                    "every layer gets the last gradient",
                    "dhidden_states = self.layer[i].backward(dhidden_states,",
                    "dfirst = self.layer[i].backward(dhidden_states,",
                    "Every layer receives the gradient of the last hidden state.  It should receive what the layer "
                    "above handed down.",
                    also=(("        return dhidden_states", "        return dfirst"),),
                ),
                Mistake(
                    "residual around the layers",
                    "dhidden_states = self.layer[i].backward(dhidden_states,",
                    "dhidden_states = dhidden_states + self.layer[i].backward(dhidden_states,",
                    "The gradient goes through each layer and around it as well.  The residuals are inside the layers, "
                    "and done there.",
                ),
                Mistake(
                    "first layer left out",
                    "for i in reversed(range(L)):",
                    "for i in reversed(range(1, L)):",
                    "The loop ends before the first layer.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.bert:BertPooler.forward",
            title="The pooler, forward",
            points=2,
            minutes=5,
            needs=("linear_forward", "tanh_forward"),
            tutorial=7,
            inputs=_pooler_inputs,
            notes="(B, S, H) becomes (B, H).  Return y and a cache.",
            hints=(
                "One token stands for the text.  Where does it stand?",
                "All tokens but one are left out before the matrix, not after it.",
                "`self.dense`, then `self.activation`; the backward will also need the shape of the hidden states.",
            ),
            mistakes=(
                Mistake(
                    "last token",
                    "hidden_states[:, 0]",
                    "hidden_states[:, -1]",
                    "The last token is taken: [SEP], or padding.  [CLS] is the first.",
                ),
                Mistake(
                    "mean of the tokens",
                    "hidden_states[:, 0]",
                    "hidden_states.mean(axis=1)",
                    "The mean of all tokens is taken.  BERT's pooler, in spite of its name, pools nothing.",
                ),
                Mistake(
                    "second token",
                    "hidden_states[:, 0]",
                    "hidden_states[:, 1]",
                    "The first word is taken.  Before it stands [CLS], which is what the pooler reads.",
                ),
                Mistake(
                    "first sequence instead of first token",
                    "hidden_states[:, 0]",
                    "hidden_states[0]",
                    "The axes are (B, S, H): index 0 of the first axis is a sequence.",
                ),
                Mistake("no tanh", "self.activation.forward(h)", "h, None", "The activation is missing."),
            ),
            variants=(
                Variant(
                    "mean-pooling",
                    "hidden_states[:, 0]",
                    "hidden_states.mean(axis=1)",
                    "Here the pooler reads the mean of all tokens in place of the first one.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.bert:BertPooler.backward",
            of="bert_numpy.models.bert:BertPooler.forward",
            title="The pooler, backward",
            points=3,
            minutes=10,
            needs=("BertPooler.forward", "linear_backward", "tanh_backward"),
            tutorial=7,
            inputs=_pooler_inputs,
            notes="In the cache: those of `dense` and of the activation, which is its y, and the shape (B, S, H).",
            hints=(
                "Activation and matrix as always.  What is the gradient of the tokens that were not read?",
                "The result has the shape of the hidden states.  Begin with zeros, of the dtype of `dy`.",
                "The gradient that the matrix hands down is (B, H): it belongs to the first token of each sequence.",
            ),
            mistakes=(
                Mistake(
                    "every token receives the gradient",
                    "dhidden_states[:, 0] = self.dense.backward(self.activation.backward(dy, act_cache), dense_cache)",
                    "dhidden_states[:] = self.dense.backward(self.activation.backward(dy, act_cache), dense_cache)"
                    "[:, np.newaxis]",
                    "All tokens receive the gradient of [CLS].  The others were not read.",
                ),
                Mistake(
                    "last token receives it",
                    "dhidden_states[:, 0] =",
                    "dhidden_states[:, -1] =",
                    "The last token receives the gradient; the first one was read.",
                ),
                Mistake(
                    "tanh left out",
                    "self.activation.backward(dy, act_cache)",
                    "dy",
                    "The gradient does not pass the activation.",
                ),
                Mistake(
                    "tanh applied twice in the slope",
                    "self.activation.backward(dy, act_cache)",
                    "dy * (1 - np.tanh(act_cache) ** 2)",
                    "The slope is taken at y, as if it were the input of tanh.  The cache of tanh holds its output.",
                ),
            ),
            variants=(
                Variant(
                    "mean-pooling",
                    "dhidden_states[:, 0] =",
                    "dhidden_states.swapaxes(0, 1)[...] = 1 / shape[1] *",
                    "Here the pooler has read the mean of all tokens in place of the first one.",
                ),
            ),
        ),
    ),
)
