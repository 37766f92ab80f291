"""Outputs by attribute, key, index and tuple, as the reference library has them."""

import numpy as np
import pytest
from support import HEADS

from bert_numpy.models.outputs import BaseModelOutputWithPooling, MaskedLMOutput


def test_every_access_reaches_the_same_array(make_model, batch):
    outputs = make_model("BertModel")(**batch, output_hidden_states=True, output_attentions=True)
    assert outputs.keys() == ("last_hidden_state", "pooler_output", "hidden_states", "attentions")
    assert outputs["pooler_output"] is outputs.pooler_output is outputs[1] is outputs.to_tuple()[1] is outputs[:2][1]
    assert [*outputs] == [name for name, _ in outputs.items()] == list(outputs.keys())
    assert len(outputs.hidden_states) == 4
    assert len(outputs.attentions) == 3
    np.testing.assert_array_equal(outputs.hidden_states[-1], outputs.last_hidden_state)
    assert dict(**outputs).keys() == set(outputs.keys())


@pytest.mark.parametrize("class_name", HEADS)
def test_the_first_output_is_the_loss_with_labels_and_the_logits_without(class_name, make_model, labelled):
    model, inputs = make_model(class_name), labelled(class_name)
    outputs = model(**inputs)
    assert outputs[0] is outputs.loss
    assert np.ndim(outputs.loss) == 0
    bare = {name: values for name, values in inputs.items() if "label" not in name and "positions" not in name}
    assert model(**bare).loss is None
    np.testing.assert_array_equal(model(**bare)[0], outputs[1])
    plain = model(**inputs, return_dict=False)
    assert type(plain) is tuple
    np.testing.assert_array_equal(plain[1], outputs[1])


def test_the_configuration_may_ask_for_hidden_states(make_model, batch):
    model = make_model("BertModel", output_hidden_states=True)
    assert len(model(**batch).hidden_states) == 4
    assert model(**batch, output_hidden_states=False).hidden_states is None


def test_a_key_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(KeyError, match=r"no output 'loss' here; present: logits"):
        MaskedLMOutput(logits=np.zeros(1))["loss"]


def test_gradients_that_do_not_fit_are_refused(make_model, batch):
    model = make_model("BertForMaskedLM")
    outputs, cache = model.forward(**batch, output_hidden_states=True)
    for doutputs, message in [
        ({"loss": 1.0}, "a gradient of loss was given, but forward returned none; run it with labels"),
        (1.0, r"the gradient of logits has shape \(\), the output has \(3, 11, 99\)"),
        ({"logits": outputs.logits[:1]}, r"the gradient of logits has shape \(1, 11, 99\), the output has"),
        ({"attentions": [None] * 3}, "a gradient of attentions was given, .* run it with output_attentions=True"),
        ({"hidden_states": (None, None)}, "2 gradients for hidden_states, which has 4; None stands for none"),
        ({"hidden_states": [None, 1.0, None, None]}, r"the gradient of hidden_states\[1\] has shape \(\), the output"),
        (BaseModelOutputWithPooling(), "the gradients are a BaseModelOutputWithPooling, the outputs were a MaskedLM"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.backward(doutputs, cache)
    with pytest.raises(TypeError, match="no output 'logit' in MaskedLMOutput; there are loss, logits"):
        model.backward({"logit": 1.0}, cache)
    bare = make_model("BertModel")
    bare.pooler = None
    with pytest.raises(ValueError, match="a gradient of pooler_output was given, but forward returned none"):
        bare.backward({"pooler_output": 1.0}, bare.forward(**batch)[1])


def test_gradients_are_taken_in_the_dtype_of_the_model(make_model, batch, rng):
    model = make_model("BertModel", dtype=np.float32)
    outputs, cache = model.forward(**batch, output_hidden_states=True)
    gradients = tuple(rng.normal(size=h.shape) for h in outputs.hidden_states)
    assert gradients[0].dtype == np.float64
    assert model.backward({"hidden_states": gradients}, cache).dtype == np.float32
