"""Every mistake that ports of BERT really made, seeded into a port of the tests' own, is found and named right.

The port is written in torch and shares nothing with the package (`torch_port.py`).  Each mistake is made in a random
layer or everywhere, in float32 and float64, in dumps with every tap and in dumps of hidden states and logits alone.
The last test prints the confusion table; `pytest -m reference -s tests/verification/test_confusion.py` shows it.
"""

import numpy as np
import pytest
from support import randomize

from bert_numpy import models
from bert_numpy.configuration import BertConfig
from bert_numpy.verification import compare
from bert_numpy.verification.steps import parameters_of

pytestmark = pytest.mark.reference

LAYER = "encoder.layer.{}."
FORWARD = {  # mistake -> (the first tap that it shows at, "{}" for the layer; the name that it is given)
    "mask dropped": (LAYER + "attention.self.probs", "mask ignored"),
    "mask after softmax": (LAYER + "attention.self.probs", "mask of -10000 added after softmax"),
    "epsilon 0.001": (LAYER + "attention.output", "LayerNorm epsilon 0.001"),
    "epsilon 1e-05": (LAYER + "attention.output", "LayerNorm epsilon 1e-05"),
    "epsilon 1e-06": (LAYER + "attention.output", "LayerNorm epsilon 1e-06"),
    "epsilon 1e-05 outside the root": (LAYER + "attention.output", "LayerNorm epsilon 1e-05 outside the root"),
    "n-1 variance": (LAYER + "attention.output", "LayerNorm variance divides by n-1"),
    "x + LN(x)": (LAYER + "attention.output", "LayerNorm added to its input"),
    "pre-LN": (LAYER + "attention.self.query", "norm before the block (pre-LN)"),
    "residual after the norm": (LAYER + "attention.output", "residual added after LayerNorm"),
    "tanh for erf": (LAYER + "intermediate.act", "activation gelu_new instead of gelu"),
    "relu for gelu": (LAYER + "intermediate.act", "activation relu instead of gelu"),
    "token types all 0": ("embeddings.token_type_embeddings", "token types all 0"),
    "positions off by one": ("embeddings.position_embeddings", "positions shifted by +1"),
    "sinusoidal positions": ("embeddings.position_embeddings", "sinusoidal positions"),
    "query bias missing": (LAYER + "attention.self.query", "bias missing"),
    "no scale": (LAYER + "attention.self.scores", "scores not scaled"),
    "heads interleaved": (LAYER + "attention.self.scores", "heads interleaved"),
    "linear transposed": (LAYER + "attention.self.value", "weight transposed"),
    "one head": (LAYER + "attention.self.scores", "one head instead of 4"),
    "gamma and beta not loaded": (LAYER + "attention.output", "LayerNorm gain and bias not loaded"),
    "weights of another layer": (LAYER + "attention.self.query", "weights of layer {next}"),
    "layers from one digit": ("encoder.layer.10.output", "encoder ends after 1 of 11 layers"),
    "decoder not tied": ("cls.predictions", "decoder not tied to the word table"),
    "decoder bias missing": ("cls.predictions", "bias missing"),
    "MLM head without GELU": ("cls.predictions.transform.act", "activation missing"),
    "MLM head without LayerNorm": ("cls.predictions.transform", "LayerNorm missing"),
    "pooler of the wrong token": ("pooler.token", "pooler of the second token"),
    "dropout left on": ("embeddings", "dropout left on, with p = 0.1"),
    "attention dropout at the hidden rate": (
        LAYER + "attention.self.dropout",
        "attention dropout with the rate of the hidden dropout, left on",
    ),
    "fp16 weights": ("embeddings.word_embeddings", "weights rounded to float16"),
    "NSP loss with ignore_index 0": ("loss", "loss with ignore_index 0"),
    "MLM loss over all positions": ("loss", "MLM loss over all positions"),
    "mean-reduced loss times mask": ("loss", "mean-reduced MLM loss times the mask"),
    "causal mask": (LAYER + "attention.self.probs", "causal mask: later tokens are hidden"),
    "quick GELU": (LAYER + "intermediate.act", "activation quick_gelu instead of gelu"),
    "SiLU": (LAYER + "intermediate.act", "activation silu instead of gelu"),
    "RMSNorm": (LAYER + "attention.output", "RMSNorm instead of LayerNorm"),
    "norms exchanged": (LAYER + "attention.output", "the two norms of a layer exchanged"),
    "words times the root of H": ("embeddings.word_embeddings", "word embeddings times the root of hidden_size"),
    "words times the root of H in the sum": (
        "embeddings.add",
        "word embeddings times the root of hidden_size, in the sum",
    ),
    "softmax before the loss": ("loss", "softmax before the loss"),
    "loss summed": ("loss", "loss summed over the labels"),
    "one token of padding seen": (
        LAYER + "attention.self.probs",
        "mask one token too long: it lets one token of padding be seen",
    ),
    "last token hidden": (LAYER + "attention.self.probs", "mask one token too short: it hides the last token"),
    "mask on the queries": (LAYER + "attention.self.probs", "mask ignored"),  # which at real tokens is the same
    "values of the embeddings": (LAYER + "attention.self.value", LAYER + "attention.self.value reads embeddings"),
    "head one layer early": ("cls.predictions.transform.dense", "head fed with the last hidden state but one"),
    "NSP loss left out": ("loss", "loss without that of the next sentence"),
    "MLM loss left out": ("loss", "loss without that of the masked words"),
}
BACKWARD = {
    "weight gradient of the last sequence": (
        "d " + LAYER + "output.dense.weight",
        "gradients of weights of the last sequence only",
    ),
    "gamma outside of the backward": ("d " + LAYER + "output.add", "LayerNorm's gain outside of its backward"),
    "tanh gradient of erf": ("d " + LAYER + "intermediate.dense", "gradient of gelu_new behind a forward of gelu"),
    "embedding gradient assigned": (
        "d embeddings.word_embeddings.weight",
        "gradient assigned instead of added at repeated ids",
    ),
    "mean constant in the backward": ("d " + LAYER + "output.add", "LayerNorm's backward takes the mean for constant"),
    "variance constant in the backward": (
        "d " + LAYER + "output.add",
        "LayerNorm's backward takes the variance for constant",
    ),
    "mean and variance constant in the backward": (
        "d " + LAYER + "output.add",
        "LayerNorm's backward takes mean and variance for constant",
    ),
    "softmax without its sum in the backward": (
        "d " + LAYER + "attention.self.scores",
        "softmax's backward without the sum",
    ),
    "diagonal of softmax in the backward": (
        "d " + LAYER + "attention.self.scores",
        "softmax's backward has its diagonal alone",
    ),
    "scores not scaled in the backward": (
        "d " + LAYER + "attention.self.key",
        "backward of the scores not scaled",
    ),
    "residual without gradient": ("d " + LAYER + "attention.output", "no gradient through the residual"),
    "look-up without gradient": (
        "d embeddings.word_embeddings.weight",
        "tied matrix without the gradient of the look-up",
    ),
    "decoder without gradient": (
        "d embeddings.word_embeddings.weight",
        "tied matrix without the gradient of the decoder",
    ),
    "gradient of the logits summed": (
        "d cls.predictions",
        "gradient of the logits not divided by the number of labels",
    ),
    "gradients of two batches added": ("d loss", "all gradients times 2"),
    "clipping per tensor": ("d cls.seq_relationship.weight", "gradients clipped one tensor at a time"),
}
SEEDS = {mistake: seed for seed, mistake in enumerate((*FORWARD, *BACKWARD))}
SPARSE = ("hidden_states", "cls.predictions", "cls.seq_relationship", "loss")
found_names = {}  # (mistake, dtype, dump) -> names, for the table


def make_model(seed, layers=3):
    config = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=37,
        num_hidden_layers=layers,
        max_position_embeddings=19,
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.0,
    )
    model = models.BertForPreTraining(config, rng=seed)
    randomize(model, np.random.default_rng(seed))
    return model.eval()


def make_batch(seed, B=3, S=11, vocab_size=99):
    """A padded batch in two segments, with repeated ids and labels of both tasks."""
    rng = np.random.default_rng(seed)
    input_ids = rng.integers(1, vocab_size // 2, (B, S))
    attention_mask = np.ones((B, S), np.int64)
    for row in range(1, B):
        length = int(rng.integers(3, S))
        input_ids[row, length:] = attention_mask[row, length:] = 0
    token_type_ids = (np.arange(S) >= S // 2) * attention_mask * (np.arange(B)[:, None] != 1)
    labels = np.where((rng.random((B, S)) < 0.4) & (attention_mask == 1), rng.integers(0, vocab_size, (B, S)), -100)
    labels[0, :2] = 5, 7
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
        "labels": labels,
        "next_sentence_label": np.arange(B) % 2,
    }


def seeded(mistake, dtype, seed, **options):
    """(model, dump, layer): a port that makes a mistake in one layer."""
    from torch_port import port_dump

    layers = 11 if mistake == "layers from one digit" else 3
    model, batch = make_model(seed, layers), make_batch(seed)
    layer = int(np.random.default_rng(seed).integers(0, 3))
    weights = parameters_of(model)
    return model, port_dump(weights, model.config, batch, mistake, layer, dtype, **options), layer


LOST_IN_ROUNDING = {("epsilon 1e-06", "float32")}  # 5e-7 of a norm's output, which is 4 roundings of float32


@pytest.mark.parametrize(
    ("mistake", "dtype"),
    [(m, d) for m in FORWARD for d in ("float32", "float64") if (m, d) not in LOST_IN_ROUNDING],
)
def test_a_mistake_of_the_forward_pass_is_found_and_named(mistake, dtype):
    tap, name = FORWARD[mistake]
    model, dump, layer = seeded(mistake, dtype, SEEDS[mistake])
    report = compare(model, dump)
    found_names[mistake, dtype, "every tap"] = [finding.name for finding in report.findings]
    assert not report.ok
    assert report.cases[0].first.name == tap.format(layer)
    assert [finding.name for finding in report.findings] == [name.format(layer, next=(layer + 1) % 3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mistake", BACKWARD)
def test_a_mistake_of_the_backward_pass_is_found_and_named(mistake, dtype):
    tap, name = BACKWARD[mistake]
    clip = 0.5 if mistake == "clipping per tensor" else None
    model, dump, layer = seeded(mistake, dtype, SEEDS[mistake], gradients=True, max_grad_norm=clip)
    report = compare(model, dump)
    found_names[mistake, dtype, "every tap"] = [finding.name for finding in report.findings]
    assert report.cases[0].first.name == tap.format(layer)
    assert [finding.name for finding in report.findings] == [name]


@pytest.mark.parametrize("mistake", BACKWARD)
def test_gradients_of_parameters_alone_suffice(mistake):
    clip = 0.5 if mistake == "clipping per tensor" else None
    model, dump, _ = seeded(mistake, "float32", SEEDS[mistake], gradients=True, max_grad_norm=clip)
    parameters = {f"d {name}" for name in parameters_of(model)}
    inputs = {"input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label", "max_grad_norm"}
    report = compare(model, {name: array for name, array in dump.items() if name in parameters | inputs})
    found_names[mistake, "float32", "gradients of parameters"] = [finding.name for finding in report.findings]
    assert [finding.name for finding in report.findings] == [BACKWARD[mistake][1]]


UNSEEN = {  # what hidden states cannot show, or cannot tell from another mistake of the same layer
    "attention dropout at the hidden rate": "an unknown mask of dropout lies between the tensors of the dump",
    "values of the embeddings": "what a dense layer reads is known by its own output",
}


@pytest.mark.parametrize("mistake", [mistake for mistake in FORWARD if mistake not in UNSEEN])
def test_hidden_states_alone_suffice(mistake):
    _, name = FORWARD[mistake]
    model, dump, layer = seeded(mistake, "float64", SEEDS[mistake])
    dump["hidden_states.0"] = dump["embeddings"]
    for i in range(model.config.num_hidden_layers):
        if f"encoder.layer.{i}.output" in dump:
            dump[f"hidden_states.{i + 1}"] = dump[f"encoder.layer.{i}.output"]
    sparse = {
        key: value for key, value in dump.items() if key.startswith(SPARSE) or not key.startswith(("e", "p", "c"))
    }
    report = compare(model, sparse)
    found_names[mistake, "float64", "hidden states"] = [finding.name for finding in report.findings]
    name = name.format(layer, next=(layer + 1) % 3)
    assert report.findings
    assert name in (report.findings[0].name, *report.findings[0].alike)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(60))
def test_a_correct_port_is_never_accused(seed, dtype):
    from torch_port import port_dump

    model = make_model(1000 + seed, layers=1 + seed % 4)
    batch = make_batch(2000 + seed, B=1 + seed % 4, S=4 + seed % 9)
    report = compare(model, port_dump(parameters_of(model), model.config, batch, dtype=dtype, gradients=seed % 3 == 0))
    assert report.ok, report.to_text()


def test_the_confusion_table():
    """Printed, one row a mistake; no row has a wrong name."""
    wrong = []
    for (mistake, dtype, dump), names in found_names.items():
        expected = {**FORWARD, **BACKWARD}[mistake][1]
        layer = int(np.random.default_rng(SEEDS[mistake]).integers(0, 3))
        expected = expected.format(layer, next=(layer + 1) % 3)
        right = names[:1] == [expected]
        print(f"{'ok ' if right else 'BAD'} {mistake:<38} {dtype:<8} {dump:<24} {'; '.join(names)}")
        if not right and dump != "hidden states":
            wrong.append(mistake)
    if not found_names:
        pytest.fail("run the whole file: the table is made of what the tests before found")
    assert wrong == []
