"""Live comparison with transformers and torch: every head, both dtypes, random models, base size, real weights.

The stored numbers (`verify`) cover one model; here sizes, masks, activations and options vary.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from support import HEADS, randomize

from bert_numpy import models
from bert_numpy.configuration import BertConfig
from bert_numpy.verification import compare_arrays
from bert_numpy.verification.goldens import flatten, zero_gradients

pytestmark = pytest.mark.reference


def reference_of(model, folder):
    """The same weights in the reference library, in float64."""
    import torch
    import transformers

    model.save_pretrained(folder)
    reference_class = getattr(transformers, type(model).__name__)
    return reference_class.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()


def tensors(inputs):
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in inputs.items()}


def arrays(outputs):
    flat = {}
    for name, value in outputs.items():
        parts = value if isinstance(value, tuple) else (value,)
        for i, part in enumerate(parts):
            flat[f"{name}.{i}" if isinstance(value, tuple) else name] = part.detach().numpy()
    return flat


def run_reference(reference, inputs):
    """Outputs, hidden states, attentions, loss and every gradient, computed by the reference library."""
    outputs = reference(**tensors(inputs), output_hidden_states=True, output_attentions=True)
    outputs.loss.backward()
    found = arrays(outputs)
    for name, parameter in reference.named_parameters():
        found[f"d {name}"] = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
    return found


def run_ours(model, inputs):
    """The same, computed here."""
    outputs, cache = model.forward(**inputs, output_hidden_states=True, output_attentions=True)
    model.backward(1.0, cache)
    found = flatten(outputs)
    for name, parameter in model.named_parameters():
        found[f"d {name}"] = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad
    return found


def assert_equal_to_reference(model, inputs, folder):
    expected = run_reference(reference_of(model, folder), inputs)
    zeros = [f"d {name}" for name in zero_gradients(model)]
    for dtype in (np.float64, np.float32):
        actual = run_ours(model.astype(dtype), inputs)
        assert actual.keys() == expected.keys()
        report = compare_arrays(expected, actual, dtype, absolute=zeros)
        assert report.ok, report.worst


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "tanh"])
@pytest.mark.parametrize("class_name", HEADS)
def test_small_models(class_name, hidden_act, seed, make_model, labelled, tmp_path):
    model = make_model(
        class_name, seed=seed, hidden_act=hidden_act, pad_token_id=seed % 2, layer_norm_eps=1e-3 * seed + 1e-12
    )
    assert_equal_to_reference(model, labelled(class_name), tmp_path)


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "labels"),
    [
        (1, None, np.array([0.5, -1.0, 2.0])),
        (3, "regression", np.linspace(-1, 1, 9).reshape(3, 3)),
        (3, None, np.array([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]])),
    ],
)
def test_other_losses(num_labels, problem_type, labels, make_model, batch, tmp_path):
    model = make_model("BertForSequenceClassification", num_labels=num_labels, problem_type=problem_type)
    assert_equal_to_reference(model, {**batch, "labels": labels}, tmp_path)


def test_positions_and_words_given(make_model, labelled, tmp_path):
    """`position_ids` and `inputs_embeds`, and the gradient of the latter."""
    model, inputs = make_model("BertForPreTraining"), labelled("BertForPreTraining")
    rng = np.random.default_rng(0)
    ids = inputs.pop("input_ids")
    inputs["position_ids"] = rng.integers(0, 19, ids.shape)
    inputs["inputs_embeds"] = rng.normal(size=(*ids.shape, 32))
    reference = reference_of(model, tmp_path)
    given = tensors(inputs)
    given["inputs_embeds"].requires_grad_()
    reference(**given).loss.backward()
    _, cache = model.forward(**inputs)
    dwords = model.backward(1.0, cache)
    expected = {"dwords": given["inputs_embeds"].grad.numpy()}
    assert compare_arrays(expected, {"dwords": dwords}, np.float64).ok


def test_a_mask_for_each_query(make_model, batch, tmp_path):
    """A (B, S, S) mask here is a (B, 1, S, S) additive mask there; no row is masked throughout."""
    import torch

    model = make_model("BertModel")
    S = batch["input_ids"].shape[1]
    mask = np.tri(S, dtype=int) * np.ones((3, 1, 1), int)
    additive = torch.from_numpy(np.where(mask[:, np.newaxis] == 1, 0.0, np.finfo(float).min))
    reference = reference_of(model, tmp_path)
    expected = reference(torch.from_numpy(batch["input_ids"]), attention_mask=additive)
    actual = model(batch["input_ids"], mask)
    assert compare_arrays(arrays(expected), flatten(actual), np.float64).ok


def test_a_row_of_padding(make_model, tmp_path):
    model = make_model("BertModel")
    inputs = {"input_ids": np.array([[5, 6, 7], [5, 6, 7]]), "attention_mask": np.array([[1, 1, 0], [0, 0, 0]])}
    expected = reference_of(model, tmp_path)(**tensors(inputs))
    with pytest.warns(UserWarning, match="all padding"):
        actual = model(**inputs)
    assert compare_arrays(arrays(expected), flatten(actual), np.float64).ok


@pytest.mark.parametrize("class_name", ["BertForPreTraining", "BertForQuestionAnswering"])
def test_base_size(class_name, tmp_path):
    """12 layers of 768, forward and every gradient.

    In float64 the tolerance is the usual one.  In float32 the reference library itself is up to 1e-4 away from its
    own float64 here (the gradient of the tied word table), so a tap may also be as far away as three times that.
    """
    config = BertConfig.preset("base")
    model = getattr(models, class_name)(config, dtype=np.float64, rng=0, init_weights=False).eval()
    rng = np.random.default_rng(0)
    randomize(model, rng, table_scale=0.1, weight_scale=0.55, bias_scale=0.02)
    ids = rng.integers(1000, 30000, (2, 48))
    mask = np.ones_like(ids)
    ids[1, 30:], mask[1, 30:] = 0, 0
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": (np.arange(48) >= 20) * mask}
    if class_name == "BertForPreTraining":
        inputs["labels"] = np.where(rng.random(ids.shape) < 0.5, ids, -100)
        inputs["next_sentence_label"] = np.array([0, 1])
    else:
        inputs |= {"start_positions": np.array([3, 25]), "end_positions": np.array([9, 29])}

    reference = reference_of(model, tmp_path)
    expected = run_reference(reference, inputs)
    zeros = [f"d {name}" for name in zero_gradients(model)]
    report = compare_arrays(expected, run_ours(model, inputs), np.float64, absolute=zeros)
    assert report.ok, report.worst

    model = model.astype(np.float32)
    reference.zero_grad()
    floor = compare_arrays(expected, run_reference(reference.float(), inputs), np.float32, absolute=zeros)
    report = compare_arrays(expected, run_ours(model, inputs), np.float32, absolute=zeros)
    for tap, noise in zip(report.taps, floor.taps, strict=True):
        assert tap.ratio <= max(report.tolerance, 3 * noise.ratio), (tap, noise)
    outputs = [tap for tap in report.taps if not tap.name.startswith("d ")]
    assert all(tap.ok for tap in outputs)


def test_a_folder_saved_by_transformers_loads_with_identical_outputs(batch, tmp_path):
    import torch
    import transformers

    config = transformers.BertConfig(**{**BertConfig.preset("tiny").to_dict(), "vocab_size": 99})
    torch.manual_seed(0)
    for class_name in ("BertModel", *HEADS):
        reference = getattr(transformers, class_name)(config).double().eval()
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        reference.save_pretrained(tmp_path / class_name, max_shard_size="200kB")
        ours, info = getattr(models, class_name).from_pretrained(
            tmp_path / class_name, dtype=np.float64, output_loading_info=True
        )
        assert not any(info.values()), info
        inputs = batch
        if class_name == "BertForMultipleChoice":
            inputs = {name: values[:, np.newaxis] for name, values in batch.items()}
        assert compare_arrays(arrays(reference(**tensors(inputs))), flatten(ours(**inputs)), np.float64).ok


def test_all_minilm_on_single_texts_pairs_and_a_padded_batch():
    """The real all-MiniLM-L6-v2: set BERT_NUMPY_MINILM to its folder."""
    if "BERT_NUMPY_MINILM" not in os.environ:
        pytest.fail("set BERT_NUMPY_MINILM to the folder of all-MiniLM-L6-v2 (its model.safetensors and tokenizer)")
    import torch
    import transformers

    from bert_numpy.tokenization import BertTokenizer

    folder = Path(os.environ["BERT_NUMPY_MINILM"])
    model, info = models.BertModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    reference = transformers.BertModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer, reference_tokenizer = (
        BertTokenizer.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    texts = ["A cat sat on the mat.", "Naïve façades, 語言 and emoji 🙂!", "It is what it is, isn't it? " * 9]
    for call in [(texts[0],), (texts[1], texts[0]), (texts,), (texts, texts[::-1])]:
        ours = tokenizer(*call, padding=True, truncation=True, return_tensors="np")
        theirs = reference_tokenizer(*call, padding=True, truncation=True, return_tensors="pt")
        if isinstance(call[0], str):
            ours, theirs = tokenizer(*call, return_tensors="np"), reference_tokenizer(*call, return_tensors="pt")
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name].numpy())
        mask = ours["attention_mask"][..., np.newaxis].astype(np.float32)
        with torch.no_grad():
            expected = reference(**theirs).last_hidden_state.numpy() * mask
        actual = model(**ours).last_hidden_state * mask
        means = [(states.sum(axis=1) / mask.sum(axis=1)) for states in (actual, expected)]
        ours_unit, theirs_unit = (m / np.linalg.norm(m, axis=-1, keepdims=True) for m in means)
        assert np.abs(ours_unit - theirs_unit).max() < 1e-6
        assert np.abs(means[0] - means[1]).max() < 1e-6
