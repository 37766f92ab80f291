"""The head of masked language modelling: transform and decoder."""

from __future__ import annotations

import numpy as np

from ...models.pretraining_heads import BertLMPredictionHead, BertPredictionHeadTransform
from ...nn.layers import Embedding
from ..exercise import Cases, Chapter, Exercise, Mistake
from ..inputs import randomized, small_config

CONFIG = small_config()
V, H = CONFIG.vocab_size, CONFIG.hidden_size


def _transform_inputs(rng: np.random.Generator) -> Cases:
    return [(randomized(BertPredictionHeadTransform(CONFIG, np.float64), rng), 2 * rng.standard_normal((2, 5, H)))]


def _head_inputs(rng: np.random.Generator) -> Cases:
    def head() -> BertLMPredictionHead:
        made: BertLMPredictionHead = randomized(BertLMPredictionHead(CONFIG, np.float64, Embedding(V, H)), rng)
        return made

    return [(head(), rng.standard_normal((2, 5, H))), (head(), rng.standard_normal((4, H)))]


CHAPTER = Chapter(
    slug="heads",
    title="The head that guesses masked words",
    about="A hidden state is transformed once more and compared with every row of the word table: the same table that "
    "the embeddings read, so that it learns from both ends.  Tutorial 8.",
    exercises=(
        Exercise(
            target="bert_numpy.models.pretraining_heads:BertPredictionHeadTransform.forward",
            title="The transform, forward",
            points=2,
            minutes=5,
            needs=("linear_forward", "gelu_forward", "layer_norm_forward"),
            tutorial=8,
            inputs=_transform_inputs,
            notes="Return y, of the shape of x, and a cache.",
            hints=(
                "The class says in one line which three layers, and in which order.",
                "Read LayerNorm(activation(dense(h))) from the inside out.",
                "Each `forward` returns its output and a cache; keep all three.",
            ),
            mistakes=(
                Mistake(
                    "no activation",
                    "self.transform_act_fn.forward(h)",
                    "h, None",
                    "The activation is missing.  Ports of BERT have forgotten it.",
                ),
                Mistake(
                    "no norm",
                    "self.LayerNorm.forward(h)",
                    "h, None",
                    "LayerNorm is missing.  Ports of BERT have forgotten it: the shapes fit without.",
                ),
                Mistake(
                    "norm before the activation",
                    "        h, act_cache = self.transform_act_fn.forward(h)\n"
                    "        y, norm_cache = self.LayerNorm.forward(h)",
                    "        h, norm_cache = self.LayerNorm.forward(h)\n"
                    "        y, act_cache = self.transform_act_fn.forward(h)",
                    "Norm and activation are exchanged.",
                ),
                Mistake(
                    "with a residual",
                    "self.LayerNorm.forward(h)",
                    "self.LayerNorm.forward(h + x)",
                    "The input is added before the norm, as in a layer.  The head has no residual.",
                ),
                Mistake(
                    "tanh as the activation",
                    "self.transform_act_fn.forward(h)",
                    "np.tanh(h), None",
                    "This is the pooler's activation.  The head has that of the layers: `self.transform_act_fn`.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.pretraining_heads:BertPredictionHeadTransform.backward",
            of="bert_numpy.models.pretraining_heads:BertPredictionHeadTransform.forward",
            title="The transform, backward",
            points=3,
            minutes=10,
            needs=("BertPredictionHeadTransform.forward", "linear_backward", "gelu_backward", "layer_norm_backward"),
            tutorial=8,
            inputs=_transform_inputs,
            notes="In the cache: those of `dense`, of the activation and of `LayerNorm`.",
            hints=(
                "Three times `backward(gradient, cache)`, from the last layer to the first.",
                "What comes in is the gradient behind the norm; what goes out is that of x.",
                "Norm, activation, matrix: each takes what the one before has returned, and its own cache.",
            ),
            mistakes=(
                Mistake(
                    "norm left out",
                    "dh = self.LayerNorm.backward(dy, norm_cache)",
                    "dh = dy",
                    "The gradient does not pass the norm, and γ and β receive none.",
                ),
                Mistake(
                    "activation left out",
                    "dh = self.transform_act_fn.backward(dh, act_cache)",
                    "pass",
                    "The gradient does not pass the activation.",
                ),
                Mistake(
                    "order of the forward",
                    "        dh = self.LayerNorm.backward(dy, norm_cache)\n"
                    "        dh = self.transform_act_fn.backward(dh, act_cache)",
                    "        dh = self.transform_act_fn.backward(dy, act_cache)\n"
                    "        dh = self.LayerNorm.backward(dh, norm_cache)",
                    "The activation comes before the norm.  In the forward it did; backward begins at the end.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.pretraining_heads:BertLMPredictionHead.forward",
            title="Logits over the vocabulary, forward",
            points=2,
            minutes=5,
            needs=("BertPredictionHeadTransform.forward", "linear_forward"),
            tutorial=8,
            inputs=_head_inputs,
            notes="`self.decoder` is a linear layer whose matrix is the word table, (V, H), and whose bias is "
            "`self.bias`.",
            hints=(
                "Two modules, one after the other.",
                "Logits are what softmax would be given: no softmax here.",
                "The bias is the decoder's already.",
            ),
            mistakes=(
                Mistake(
                    "transform left out",
                    "self.decoder.forward(h)",
                    "self.decoder.forward(x)",
                    "The decoder reads the hidden states as they came.",
                ),
                Mistake(
                    "no bias",
                    "logits, decoder_cache = self.decoder.forward(h)",
                    "logits, decoder_cache = h @ self.decoder.weight.data.T, None",
                    "The decoder's bias is missing: one number for each word, of which files hold it under another "
                    "name.  A port without it was off by 30.",
                ),
                Mistake(
                    "bias added twice",
                    "logits, decoder_cache = self.decoder.forward(h)",
                    "logits, decoder_cache = self.decoder.forward(h)\n        logits = logits + self.bias.data",
                    "The bias is added twice: `self.bias` and the decoder's are one.",
                ),
                Mistake(
                    "probabilities",
                    "logits, decoder_cache = self.decoder.forward(h)",
                    "logits, decoder_cache = self.decoder.forward(h)\n"
                    "        logits = np.exp(logits - logits.max(axis=-1, keepdims=True))\n"
                    "        logits /= logits.sum(axis=-1, keepdims=True)",
                    "Softmax is applied.  The loss does that, from the logits: a second softmax makes it blunt.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.models.pretraining_heads:BertLMPredictionHead.backward",
            of="bert_numpy.models.pretraining_heads:BertLMPredictionHead.forward",
            title="Logits over the vocabulary, backward",
            points=2,
            minutes=5,
            needs=("BertLMPredictionHead.forward", "BertPredictionHeadTransform.backward", "linear_backward"),
            tutorial=8,
            inputs=_head_inputs,
            notes="In the cache: those of the transform and of the decoder.  The decoder's `backward` adds to the "
            "gradient of the word table, to which the embeddings will add theirs: gradients only add.",
            hints=(
                "The decoder first.",
                "What the decoder hands down is the gradient of what the transform returned.",
                "Two calls, one inside the other; the layers look after the gradients of their weights.",
            ),
            mistakes=(
                Mistake(
                    "word table receives nothing",
                    "self.decoder.backward(dlogits, decoder_cache)",
                    "dlogits @ self.decoder.weight.data",
                    "What is handed down is right, but the decoder's matrix, which is the word table, and its "
                    "bias receive no gradient.",
                ),
                Mistake(
                    "transform left out",
                    "self.transform.backward(self.decoder.backward(dlogits, decoder_cache), transform_cache)",
                    "self.decoder.backward(dlogits, decoder_cache)",
                    "The gradient does not pass the transform, whose weights receive none.",
                ),
                Mistake(
                    "gradient of the table forgotten again",
                    "return self.transform.backward(self.decoder.backward(dlogits, decoder_cache), transform_cache)",
                    "dh = self.decoder.backward(dlogits, decoder_cache)\n"
                    "        self.decoder.weight.zero_grad()\n"
                    "        return self.transform.backward(dh, transform_cache)",
                    "The bias has its gradient, the word table has none: tied or not, it is the decoder's matrix.",
                ),
            ),
        ),
    ),
)
