"""A correct port, for tests that spoil it: what the models of `models/` compute, under the names of transformers.

The reference of a comparison is BERT as a list of steps; the models are BERT as modules, written apart from it.
"""

import numpy as np


def dump_of(model, inputs, gradients=True):
    """{name: array} of the inputs, all outputs, the loss, and the gradient of every parameter that has one."""
    outputs, cache = model.forward(**inputs, output_hidden_states=True, output_attentions=True)
    dump = dict(inputs)
    for name, value in outputs.items():
        if isinstance(value, tuple):
            dump |= {f"{name}.{i}": array for i, array in enumerate(value)}
        else:
            dump[name] = np.asarray(value)
    if gradients and outputs.loss is not None:
        model.zero_grad()
        model.backward(1.0, cache)
        dump |= {f"{name}.grad": p.grad.copy() for name, p in model.named_parameters() if p.grad is not None}
    return dump


def float32_ids(dump):
    """The same dump from a runtime without integers."""
    return {name: array.astype(np.float32) for name, array in dump.items()}
