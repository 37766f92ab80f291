"""A model, the dump of a correct port of it, and the cases of a dump."""

import numpy as np
import pytest
from own_port import dump_of

from bert_numpy.verification.dumps import Dump, cases_of
from bert_numpy.verification.names import Names
from bert_numpy.verification.reference import load_reference


@pytest.fixture
def model(make_model):
    return make_model("BertForPreTraining", np.float32)


@pytest.fixture
def port(model, labelled):
    """The dump of a correct port, with a few gradients."""
    dump = dump_of(model, labelled("BertForPreTraining"))
    kept = ("cls.predictions.bias", "layer.2.intermediate.dense.weight", "word_embeddings.weight")
    return {
        name: array
        for name, array in dump.items()
        if ".grad" not in name or name.endswith(tuple(f"{k}.grad" for k in kept))
    }


@pytest.fixture
def cases(model):
    """A function (tensors, names of one's own) -> the cases of a dump."""
    reference = load_reference(model)
    known = [*(step.tap for step in reference.steps), *reference.parameters]

    def read(tensors, renamed=None):
        return cases_of(Dump("dump", tensors), Names(known, renamed), reference)

    return read
