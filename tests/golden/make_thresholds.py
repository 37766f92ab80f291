"""Measure what the threshold of the verifier rests on: how far correct ports are off, in units of the noise floor.

    python tests/golden/make_thresholds.py [--models N] [--real FOLDER] > tests/golden/thresholds.md

(in an environment with the extra `reference`).  Each row is a set of models; transformers computes every case of the
suite in some precision, and the columns hold the largest multiples of the noise floor over all its tensors: with the
steps from the inputs on, and each alone.  `--real` adds a trained model such as all-MiniLM-L6-v2, whose hidden states
have outlier channels; random models have none.  It is measured as it is, and under random heads for both objectives of
pre-training, whose losses send gradients through it.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import randomize, under_random_heads

from bert_numpy import models
from bert_numpy.configuration import BertConfig
from bert_numpy.verification.comparison import THRESHOLD, compare
from bert_numpy.verification.live import dump_transformers
from bert_numpy.verification.reference import Reference, load_reference
from bert_numpy.verification.suite import LONGEST, suite

PRECISIONS = ("float64", "float32", "float16", "bfloat16")
SIZES = ((20, 4, 27, 2), (48, 3, 64, 3), (64, 8, 96, 5), (96, 2, 200, 4))

LONGEST_UNDER_HEADS = 64
"""The most tokens of a text under random heads: each has a logit for every word."""


def random_reference(seed):
    """A model of odd sizes with random gains and biases."""
    hidden_size, heads, intermediate_size, layers = SIZES[seed % len(SIZES)]
    config = BertConfig(
        vocab_size=113,
        hidden_size=hidden_size,
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        max_position_embeddings=32,
    )
    model = models.BertForPreTraining(config, rng=seed)
    randomize(model, np.random.default_rng(seed))
    return Reference(model.eval(), f"random {seed}", "float32")


def measured(reference, precision, attention, longest=LONGEST):
    """(forward from the inputs, alone, backward from the inputs, alone, tensors, accused) of one model."""
    dump = dump_transformers(reference, suite(reference, longest=longest), dtype=precision, attention=attention)
    report = compare(reference, dump, diagnose=False)
    taps = [tap for case in report.cases for tap in case.taps if not math.isnan(tap.times_noise)]
    forward, backward = ([tap for tap in taps if tap.is_gradient == wanted] for wanted in (False, True))
    numbers = [max((getattr(tap, name) for tap in some), default=math.nan) for some in (forward, backward) for name in
               ("times_noise", "alone")]  # fmt: skip
    return [*numbers, len(taps), sum(not tap.ok for tap in taps)]


def row(title, rows):
    *numbers, taps, accused = zip(*rows, strict=True)
    shown = " | ".join(f"{max(column):.1f}" if not math.isnan(max(column)) else "-" for column in numbers)
    print(f"| {title} | {shown} | {sum(taps):,} | {sum(accused)} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--real", type=Path)
    options = parser.parse_args()
    print(f"The largest multiples of the noise floor of correct ports; {THRESHOLD:g} is still called equal.\n")
    print("| models, precision, attention | forward | alone | backward | backward, alone | tensors | accused |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for precision in PRECISIONS:
        for attention in ("eager", "sdpa"):
            rows = [measured(random_reference(seed), precision, attention) for seed in range(options.models)]
            row(f"{options.models} random models, {precision}, {attention}", rows)
    if options.real:
        as_it_is, with_heads = load_reference(options.real), Reference(under_random_heads(options.real), "", "float32")
        ways = ((as_it_is, "", LONGEST), (with_heads, " under random heads", LONGEST_UNDER_HEADS))
        for reference, what, longest in ways:
            for precision in PRECISIONS:
                for attention in ("eager", "sdpa"):
                    title = f"{options.real.name}{what}, {precision}, {attention}"
                    row(title, [measured(reference, precision, attention, longest)])


if __name__ == "__main__":
    main()
