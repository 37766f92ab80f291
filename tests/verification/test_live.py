"""transformers, run live, is never accused: every precision, both forms of attention, tiny, real and base size.

`verify --against transformers` does the same on the command line.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from support import randomize, under_random_heads

from bert_numpy import models
from bert_numpy.cli import main
from bert_numpy.configuration import BertConfig
from bert_numpy.verification import compare
from bert_numpy.verification.live import dump_transformers
from bert_numpy.verification.reference import Reference, load_reference
from bert_numpy.verification.suite import suite

pytestmark = pytest.mark.reference

REAL = os.environ.get("BERT_NUMPY_MINILM")
SOME = ("pair", "padded", "two", "all padding")


def accused(reference, cases, **options):
    """The tensors that are called wrong, and how many there were."""
    report = compare(reference, dump_transformers(reference, cases, **options), diagnose=False)
    assert report.precision == options["dtype"]
    taps = [tap for case in report.cases for tap in case.taps]
    return [(case.name, tap.name, tap.alone) for case in report.cases for tap in case.taps if not tap.ok], len(taps)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_tiny_with_every_gradient(dtype, attention):
    reference = load_reference("tiny-random")
    wrong, count = accused(reference, suite(reference), dtype=dtype, attention=attention)
    assert wrong == []
    assert count > 1400


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_the_trained_model_that_ships_with_every_gradient(dtype, attention):
    """It is sure of itself: of probabilities near 1, half precision leaves little in a gradient."""
    reference = load_reference("small-world")
    wrong, count = accused(reference, suite(reference, longest=40), dtype=dtype, attention=attention)
    assert wrong == []
    assert count > 1900


@pytest.mark.skipif(REAL is None, reason="BERT_NUMPY_MINILM names no folder")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_trained_model_with_outlier_channels(dtype, attention):
    reference = load_reference(Path(REAL))
    cases = {name: inputs for name, inputs in suite(reference, longest=24).items() if name in (*SOME, "longest")}
    wrong, count = accused(reference, cases, dtype=dtype, attention=attention)
    assert wrong == []
    assert count > 350


@pytest.mark.skipif(REAL is None, reason="BERT_NUMPY_MINILM names no folder")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_through_a_trained_model(dtype):
    reference = Reference(under_random_heads(Path(REAL)), "all-MiniLM-L6-v2 under random heads", "float32")
    cases = {name: inputs for name, inputs in suite(reference, longest=24).items() if name in ("padded", "longest")}
    wrong, count = accused(reference, cases, dtype=dtype, attention="sdpa")
    assert wrong == []
    assert count > 250


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_base_size_with_every_gradient(dtype, attention):
    config = BertConfig(vocab_size=500, max_position_embeddings=64)
    model = models.BertForPreTraining(config, rng=0)
    randomize(model, np.random.default_rng(0), table_scale=0.3, weight_scale=0.7)
    reference = Reference(model.eval(), "base size", "float32")
    cases = {
        name: inputs for name, inputs in suite(reference, longest=32).items() if name in ("longest", "all padding")
    }
    wrong, count = accused(reference, cases, dtype=dtype, attention=attention)
    assert wrong == []
    assert count > 900


def test_on_the_command_line(capsys):
    assert main(["verify", "tiny-random", "--against", "transformers"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("equal: all ")
