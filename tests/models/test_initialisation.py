"""Fresh weights: the published distribution, one draw for each parameter, and nothing but the given generator."""

import numpy as np
import pytest
from support import HEADS

from bert_numpy import models
from bert_numpy.configuration import BertConfig
from bert_numpy.nn import truncated_normal


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_truncated_normal_is_cut_at_two_standard_deviations(dtype):
    values = np.empty(200_000, dtype)
    truncated_normal(np.random.default_rng(0), values, 0.02)
    assert np.abs(values).max() <= 0.04
    assert np.abs(values).max() > 0.0399
    assert values.std() == pytest.approx(0.8796 * 0.02, rel=0.01)
    assert abs(values.mean()) < 2e-4
    assert (np.abs(values) < 0.02).mean() == pytest.approx(0.6827 / 0.9545, abs=0.005)


@pytest.mark.parametrize("class_name", ["BertModel", *HEADS])
def test_matrices_are_drawn_biases_are_0_and_gains_are_1(class_name):
    model = getattr(models, class_name)(BertConfig.preset("tiny", vocab_size=60, initializer_range=0.1), rng=0)
    for name, parameter in model.named_parameters():
        if name.endswith("LayerNorm.weight"):
            assert (parameter.data == 1).all(), name
        elif name.endswith("bias"):
            assert (parameter.data == 0).all(), name
        else:
            drawn = parameter.data[1:] if "word_embeddings" in name else parameter.data
            assert drawn.std() == pytest.approx(0.088, rel=0.2), name
            assert np.abs(drawn).max() <= 0.2, name
    table = model.bert.embeddings if class_name != "BertModel" else model.embeddings
    assert (table.word_embeddings.weight.data[0] == 0).all(), "the padding row"


def test_the_seed_decides(config):
    def weights(rng):
        return models.BertForPreTraining(config, rng=rng).bert.encoder.layer[1].output.dense.weight.data

    np.testing.assert_array_equal(weights(3), weights(np.random.default_rng(3)))
    assert (weights(3) != weights(4)).all()
    assert (weights(None) != weights(None)).all()
