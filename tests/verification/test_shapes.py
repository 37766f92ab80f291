"""Which positions count, and which layouts are the same tensor."""

import numpy as np
import pytest

from bert_numpy.verification.evaluation import Run, complete_inputs
from bert_numpy.verification.reference import load_reference
from bert_numpy.verification.shapes import fit_shape, kept_positions, place_of, positions_kind
from bert_numpy.verification.steps import parameters_of, steps_of

REAL = np.array([[True, True, True], [True, False, False], [False, False, False]])
B, S, H, A = 2, 3, 8, 4


# ---- which count ----


@pytest.mark.parametrize(
    ("class_name", "kinds"),
    [
        (
            "BertForPreTraining",
            {
                "embeddings": "tokens",
                "embeddings.position_embeddings": "tokens",
                "encoder.layer.0.attention.self.scores": "scores",
                "encoder.layer.0.attention.self.probs": "probs",
                "encoder.layer.0.attention.self.dropout": "probs",
                "encoder.layer.0.attention.self.context": "tokens",
                "encoder.layer.0.attention.output.dropout": "tokens",
                "cls.predictions": "tokens",
                "pooler": "rows",
                "pooler.dense": "rows",
                "cls.seq_relationship": "rows",
                "loss": "whole",
                "loss.mlm": "whole",
                "d encoder.layer.0.output": "tokens",
                "d pooler": "rows",
                "d pooler.dense.weight": "whole",
                "d embeddings.position_embeddings.weight": "whole",
            },
        ),
        ("BertForSequenceClassification", {"classifier": "rows", "classifier.dropout": "rows"}),
        ("BertForTokenClassification", {"classifier": "tokens", "classifier.dropout": "tokens"}),
        ("BertForQuestionAnswering", {"qa_outputs": "tokens", "qa_outputs.start": "tokens", "loss.start": "whole"}),
    ],
)
def test_the_kind_of_each_tap(class_name, kinds, make_model):
    reference = load_reference(make_model(class_name))
    assert {name: positions_kind(name, reference) for name in kinds} == kinds


def test_the_kind_agrees_with_the_axes_of_every_tap(make_model, batch, labelled):
    """A tap of kind "rows" has an axis of the batch, one of "tokens" those of batch and sequence, and so on."""
    for class_name in ("BertForPreTraining", "BertForTokenClassification", "BertForQuestionAnswering"):
        model = make_model(class_name)
        reference = load_reference(model)
        run = Run(steps_of(model), parameters_of(model), labelled(class_name))
        axes = {"tokens": (3, 11), "rows": (3,), "scores": (3, 4, 11, 11), "probs": (3, 4, 11, 11), "whole": ()}
        for step in reference.steps:
            start = axes[positions_kind(step.tap, reference)]
            shape = np.shape(run.value(step.tap))
            if step.tap == "embeddings.position_embeddings":
                assert shape == (1, 11, 32)
            else:
                assert shape[: len(start)] == start
                assert start or shape == ()


def test_tokens_rows_scores_and_probabilities_of_real_tokens_count():
    kept = kept_positions("tokens", (3, 3, 5), REAL)
    np.testing.assert_array_equal(np.broadcast_to(kept, (3, 3, 5))[..., 4], REAL)
    kept = kept_positions("tokens", (3, 3), REAL)
    np.testing.assert_array_equal(kept, REAL)
    kept = np.broadcast_to(kept_positions("rows", (3, 5), REAL), (3, 5))
    np.testing.assert_array_equal(kept[:, 0], [True, True, False])
    scores = np.broadcast_to(kept_positions("scores", (3, 2, 3, 3), REAL), (3, 2, 3, 3))
    probs = np.broadcast_to(kept_positions("probs", (3, 2, 3, 3), REAL), (3, 2, 3, 3))
    for b, i, j in np.ndindex(3, 3, 3):
        assert scores[b, 1, i, j] == (REAL[b, i] and REAL[b, j])
        assert probs[b, 1, i, j] == REAL[b, i]


def test_all_count_where_nothing_is_padded_or_nothing_has_a_place():
    assert kept_positions("whole", (32, 32), REAL) is None
    assert kept_positions("tokens", (1, 3, 5), REAL) is None  # positions: the same for the whole batch
    for kind in ("tokens", "rows", "scores", "probs"):
        assert kept_positions(kind, (2, 3, 5), np.ones((2, 3), bool)) is None


# ---- which fit ----

TOKENS = np.random.default_rng(3).standard_normal((B, S, H))
BY_HEAD = TOKENS.reshape(B, S, A, H // A)
PROBS = np.random.default_rng(4).standard_normal((B, A, S, S))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (TOKENS, TOKENS),
        (TOKENS.reshape(B * S, H), TOKENS),
        (TOKENS[None], TOKENS),
        (TOKENS[:, :, None], TOKENS),
        (BY_HEAD, TOKENS),
        (BY_HEAD.transpose(0, 2, 1, 3), TOKENS),
        (TOKENS[:1, 0], TOKENS[0, 0]),
        (np.broadcast_to(TOKENS[:1], (B, S, H)), TOKENS[:1]),
        (TOKENS[0], TOKENS[:1]),
        (PROBS, PROBS),
        (PROBS[:1, :, :1], PROBS[0, :, :1]),
        (np.array([1.5]), np.array(1.5)),
        (np.array([[1.5]]), np.array(1.5)),
    ],
)
def test_the_same_tensor_in_another_layout(array, expected):
    fitted, complaint = fit_shape(array, expected.shape, A)
    assert complaint == ""
    np.testing.assert_array_equal(fitted, expected)


@pytest.mark.parametrize(
    ("found", "shape", "complaint"),
    [
        ((8, 4), (4, 8), "has shape (8, 4), expected (4, 8): it is transposed"),
        ((8, 3, 2), (2, 3, 8), "has shape (8, 3, 2), expected (2, 3, 8): its axes are in another order"),
        ((2, 3, 3, 4), (2, 4, 3, 3), "has shape (2, 3, 3, 4), expected (2, 4, 3, 3): its axes are in another order"),
        ((2, 6, 4), (2, 3, 8), "has shape (2, 6, 4), expected (2, 3, 8): as many numbers, folded otherwise"),
        ((48,), (2, 3, 8), "has shape (48,), expected (2, 3, 8): as many numbers, folded otherwise"),
        ((2, 3, 7), (2, 3, 8), "has shape (2, 3, 7), expected (2, 3, 8): the sizes differ"),
        ((3, 8), (2, 3, 8), "has shape (3, 8), expected (2, 3, 8): the sizes differ"),
        ((0,), (2, 3, 8), "has shape (0,), expected (2, 3, 8): the sizes differ"),
        ((), (2, 3, 8), "has shape (), expected (2, 3, 8): the sizes differ"),
        ((2, 3, 8), (), "has shape (2, 3, 8), expected (): the sizes differ"),
        ((2, 3, 2, 4), (2, 3, 8), "has shape (2, 3, 2, 4), expected (2, 3, 8): as many numbers, folded otherwise"),
    ],
)
def test_another_tensor(found, shape, complaint):
    assert fit_shape(np.zeros(found), shape, A) == (None, complaint)


def test_positions_that_differ_by_row_are_not_one_row():
    assert fit_shape(TOKENS, (1, S, H), A) == (None, "has shape (2, 3, 8), expected (1, 3, 8): the sizes differ")


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 1, 3)])
def test_as_many_tokens_as_heads(axes):
    tokens = np.random.default_rng(5).standard_normal((B, A, H))
    port = tokens.reshape(B, A, A, H // A).transpose(axes) + 1e-6
    fitted, _ = fit_shape(port, tokens.shape, A, tokens)
    np.testing.assert_allclose(fitted, tokens, atol=2e-6)
    with_nan = port.copy()
    with_nan[0, 0, 0, 0] = np.nan
    fitted, _ = fit_shape(with_nan, tokens.shape, A, tokens)
    assert np.isnan(fitted).sum() == 1
    np.testing.assert_allclose(fitted[1], tokens[1], atol=2e-6)


# ---- where ----


def test_a_place_has_its_token():
    reference = load_reference("tiny-random")
    inputs = complete_inputs({"input_ids": np.array([[2, 61, 62, 3]])})
    words = reference.tokenizer.convert_ids_to_tokens([2, 61, 62, 3])
    layer = "encoder.layer.0"
    assert place_of((0, 2, 7), f"{layer}.output", reference, inputs) == f"[0, 2, 7], token {words[2]!r}"
    scores = f"{layer}.attention.self.scores"
    assert place_of((0, 3, 1, 2), scores, reference, inputs) == f"[0, 3, 1, 2], from {words[1]!r} to {words[2]!r}"
    assert place_of((0, 5), "pooler", reference, inputs) == "[0, 5]"
    assert place_of((7, 5), "d pooler.dense.weight", reference, inputs) == "[7, 5]"
    assert place_of((), "loss", reference, inputs) == ""


def test_a_place_without_a_tokenizer_has_the_id(make_model):
    reference = load_reference(make_model("BertModel"))
    inputs = complete_inputs({"input_ids": np.array([[2, 61]])})
    assert place_of((0, 1, 7), "embeddings", reference, inputs) == "[0, 1, 7], token id 61"
