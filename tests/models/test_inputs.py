"""What the models refuse, each in one line that names the input, what it holds and what is wanted."""

import numpy as np
import pytest
from support import HEADS

from bert_numpy import models

LONG = np.ones((1, 20), int)
IDS = np.ones((2, 4), int)

REFUSED = {
    "no input": ({}, "give exactly one of input_ids and inputs_embeds"),
    "both inputs": (
        {"input_ids": IDS, "inputs_embeds": np.zeros((2, 4, 32))},
        "give exactly one of input_ids and inputs_embeds",
    ),
    "one axis": (
        {"input_ids": [5, 6, 7]},
        r"input_ids has shape \(3,\), expected \(batch, sequence\); add a batch axis: .*, or return_tensors=",
    ),
    "three axes": ({"input_ids": np.ones((1, 2, 3), int)}, r"input_ids has shape \(1, 2, 3\), expected"),
    "id too large": (
        {"input_ids": [[1, 2], [3, 99]]},
        r"input_ids\[1, 1\] is 99; ids must lie between 0 and 98 \(vocab_size 99\)",
    ),
    "negative id": ({"input_ids": [[1, -1]]}, r"input_ids\[0, 1\] is -1; ids must lie between 0 and 98"),
    "float ids": ({"input_ids": [[1.0, 2.0]]}, "input_ids must be integers, not float64"),
    "boolean ids": ({"input_ids": [[True]]}, "input_ids must be integers, not bool"),
    "ragged": (
        {"input_ids": [[1, 2], [3]]},
        "input_ids is ragged or holds no numbers; pad the batch with padding=True",
    ),
    "text": ({"input_ids": [["a"]]}, "input_ids is ragged or holds no numbers"),
    "a batch not unpacked": (
        {"input_ids": {"input_ids": [[1]]}},
        r"input_ids is a dict; unpack it: model\(\*\*batch\)",
    ),
    "an empty list": ({"input_ids": []}, r"input_ids has shape \(0,\)"),
    "nothing in the batch": ({"input_ids": np.ones((0, 4), int)}, r"the batch is empty: shape \(0, 4\)"),
    "empty sequences": ({"input_ids": np.ones((2, 0), int)}, r"the batch is empty: shape \(2, 0\)"),
    "too long": (
        {"input_ids": LONG},
        "sequence length 20 exceeds max_position_embeddings 19; truncate with max_length=19",
    ),
    "segment 2": (
        {"input_ids": IDS, "token_type_ids": 2 * IDS},
        r"token_type_ids\[0, 0\] is 2; ids must lie between 0 and 1 \(type_vocab_size 2\)",
    ),
    "segments of another shape": (
        {"input_ids": IDS, "token_type_ids": [[0, 0, 0]]},
        r"token_type_ids has shape \(1, 3\), the input has \(2, 4\)",
    ),
    "position 19": ({"input_ids": IDS, "position_ids": [0, 1, 2, 19]}, r"position_ids\[3\] is 19; ids must lie"),
    "positions of another shape": (
        {"input_ids": IDS, "position_ids": np.zeros((3, 4), int)},
        r"position_ids has shape \(3, 4\), the input has \(2, 4\)",
    ),
    "mask of another shape": (
        {"input_ids": IDS, "attention_mask": np.ones(4)},
        r"attention_mask has shape \(4,\), expected \(2, 4\) or \(2, 4, 4\)",
    ),
    "mask that is added elsewhere": (
        {"input_ids": IDS, "attention_mask": np.array([[0, 0, -10000, -10000]] * 2)},
        r"attention_mask must hold only 1 \(a token\) and 0 \(padding\)",
    ),
    "mask of NaN": ({"input_ids": IDS, "attention_mask": np.full((2, 4), np.nan)}, "attention_mask must hold only 1"),
    "vectors of another size": (
        {"inputs_embeds": np.zeros((2, 4, 31))},
        r"inputs_embeds has shape \(2, 4, 31\), expected \(batch, sequence, 32\)",
    ),
}


@pytest.mark.parametrize(("inputs", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_input_that_does_not_fit_is_refused_in_one_line(inputs, message, make_model):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        make_model("BertModel")(**inputs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("class_name", [name for name in HEADS if name != "BertForMultipleChoice"])
def test_every_head_checks_the_inputs(class_name, make_model):
    with pytest.raises(ValueError, match="add a batch axis"):
        make_model(class_name)(np.array([1, 2]))


def test_multiple_choice_wants_an_axis_for_the_choices(make_model):
    with pytest.raises(ValueError, match=r"the input has shape \(2, 4\), expected \(batch, choices, sequence\)"):
        make_model("BertForMultipleChoice")(IDS)


@pytest.mark.parametrize(
    ("class_name", "labels", "message"),
    [
        ("BertForMaskedLM", {"labels": [[1, 2, 3, 99]] * 2}, r"labels\[0, 3\] is 99; .* or be -100"),
        ("BertForMaskedLM", {"labels": [1, 2]}, r"labels has shape \(2,\), expected \(2, 4\)"),
        ("BertForTokenClassification", {"labels": [[1, 2, 3, -1]] * 2}, r"labels\[0, 3\] is -1; .* or be -100"),
        ("BertForSequenceClassification", {"labels": [0, 6]}, r"labels\[1\] is 6; ids must lie between 0 and 5"),
        (
            "BertForSequenceClassification",
            {"labels": [0.5, 0.5]},
            r"labels are float64 of shape \(2,\); multi_label.* needs numbers of shape \(2, 6\), one label",
        ),
        ("BertForSequenceClassification", {"labels": np.zeros((6, 2))}, r"labels are float64 of shape \(6, 2\)"),
        ("BertForSequenceClassification", {"labels": np.full((2, 6), 7.0)}, "must lie between 0 .absent. and 1"),
        ("BertForNextSentencePrediction", {"labels": [0, 2]}, r"labels\[1\] is 2"),
        ("BertForPreTraining", {"next_sentence_label": [0.0, 1.0]}, "next_sentence_label must be integers"),
        (
            "BertForQuestionAnswering",
            {"start_positions": [0.0, 1.0], "end_positions": [0, 1]},
            r"start_positions must be integers of shape \(2,\), not float64 of shape \(2,\)",
        ),
        (
            "BertForQuestionAnswering",
            {"start_positions": [0, 1], "end_positions": [0, 1, 2]},
            r"end_positions must be integers of shape \(2,\)",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(class_name, labels, message, make_model):
    with pytest.raises((ValueError, TypeError), match=message):
        make_model(class_name)(IDS, **labels)


def test_an_all_padding_row_gives_finite_outputs_and_one_warning(make_model):
    model = make_model("BertModel")
    mask = np.array([[1, 1, 1, 1], [0, 0, 0, 0]])
    with pytest.warns(UserWarning, match=r"sequence 1 of the batch is all padding .* drop it from the batch"):
        outputs = model(IDS, mask, output_attentions=True)
    assert np.isfinite(outputs.last_hidden_state).all()
    np.testing.assert_allclose(outputs.attentions[0][1], 0.25, err_msg="a masked row attends evenly")
    np.testing.assert_allclose(outputs.last_hidden_state[0], model(IDS[:1]).last_hidden_state[0], atol=1e-12)


@pytest.mark.parametrize("mask", [np.array([[1, 1, 0, 0]] * 2), np.array([[True, True, False, False]] * 2)])
def test_masks_may_be_integers_floats_or_booleans(mask, make_model):
    model = make_model("BertModel")
    expected = model(IDS, mask.astype(float)).last_hidden_state
    np.testing.assert_array_equal(model(IDS, mask).last_hidden_state, expected)
    assert (expected != model(IDS).last_hidden_state).any()


def test_lists_are_as_good_as_arrays(make_model):
    model = make_model("BertModel")
    np.testing.assert_array_equal(model([[5, 6]], [[1, 1]])[0], model(np.array([[5, 6]]))[0])


def test_defaults_are_all_tokens_first_segment_positions_in_order(make_model):
    model = make_model("BertModel")
    explicit = model(IDS, np.ones((2, 4)), np.zeros((2, 4), int), np.arange(4))
    np.testing.assert_array_equal(model(IDS)[0], explicit[0])


def test_a_misspelt_argument_is_a_type_error(make_model):
    with pytest.raises(TypeError, match="attention_masks"):
        make_model("BertModel")(IDS, attention_masks=IDS)


def test_multiple_choice_names_the_input_that_lacks_the_axis(make_model):
    ids = np.ones((2, 3, 4), int)
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 4\), expected \(batch, choices, sequence\)"):
        make_model("BertForMultipleChoice")(ids, attention_mask=np.ones((2, 4)))


def test_a_name_in_place_of_a_configuration_is_pointed_to_from_pretrained():
    for model_class in (models.BertModel, models.BertForQuestionAnswering):
        with pytest.raises(TypeError, match=r"config must be a BertConfig, not 'tiny-random'; .* by from_pretrained"):
            model_class("tiny-random")


def test_what_is_no_cache_is_told_how_to_get_one(make_model, batch):
    model = make_model("BertForMaskedLM")
    _, cache = model.forward(**batch)
    for wrong in (None, model(**batch), model.forward(**batch), 1.0):
        with pytest.raises(TypeError, match=r"the cache is a .*; write outputs, cache = model.forward\(...\)"):
            model.backward(1.0, wrong)
    with pytest.raises(TypeError, match="the cache comes from a BertForMaskedLM, this model is a BertModel"):
        model.bert.backward(1.0, cache)


def test_return_dict_none_means_named_outputs(make_model, batch):
    assert make_model("BertModel")(**batch, return_dict=None).pooler_output is not None


def test_one_masked_query_is_no_empty_sequence(make_model):
    """A warning here would be an error: the tests run with warnings as errors."""
    mask = np.ones((2, 4, 4), int)
    mask[1, 2] = 0
    assert np.isfinite(make_model("BertModel")(IDS, mask).last_hidden_state).all()
