"""Names and functions that several tests import; the fixtures are in `conftest.py`."""

import numpy as np

from bert_numpy import models

B, S, NUM_LABELS = 3, 11, 6
HEADS = [name for name in models.__all__ if name.startswith("BertFor")]


def randomize(model, rng, table_scale=0.5, weight_scale=1.0, bias_scale=0.2):
    """Give every parameter random values, such that no gain is 1, no bias 0, attention uneven, and rounding small.

    Matrices keep the size of what they multiply.  Much larger ones would saturate softmax, much larger biases would
    make all tokens alike: then gradients are small differences of large numbers, and two correct float32
    implementations differ by more than the tolerance (torch from itself, too); many layers want smaller scales.
    A float32 holds all values exactly, so that a model and its copy in the other dtype have the same weights.
    """
    for name, parameter in model.named_parameters():
        values = rng.standard_normal(parameter.shape)
        if name.endswith("embeddings.weight"):
            values *= table_scale
        elif parameter.data.ndim == 2:
            values *= weight_scale / np.sqrt(parameter.shape[1])
        else:
            is_gain = name.endswith("LayerNorm.weight")
            values *= 0.2 if is_gain else bias_scale
            values += is_gain
        parameter.data[...] = values.astype(np.float32)


def under_random_heads(folder):
    """The encoder of a trained model, under random heads for both objectives of pre-training."""
    model = models.BertForPreTraining.from_pretrained(folder)
    rng = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        if name.startswith("cls."):
            scale = 1 / np.sqrt(parameter.shape[-1]) if parameter.data.ndim == 2 else 0.2
            parameter.data[...] = scale * rng.standard_normal(parameter.shape) + name.endswith("LayerNorm.weight")
    return model.eval()
