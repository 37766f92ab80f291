"""Names and functions that several tests import; the fixtures are in `conftest.py`."""

from bert_numpy import models

B, S, NUM_LABELS = 3, 11, 6
HEADS = [name for name in models.__all__ if name.startswith("BertFor")]


def randomize(model, rng):
    """Give every parameter random values: gains around 1, all else around 0, large enough for uneven attention."""
    for name, parameter in model.named_parameters():
        parameter.data[...] = 0.3 * rng.standard_normal(parameter.shape) + name.endswith("LayerNorm.weight")
