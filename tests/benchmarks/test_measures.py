"""The arithmetic of the table, against numbers worked out by hand."""

import json
import math

import numpy as np
import pytest

from bert_numpy.benchmarks.cases import CASES, find_case, is_compared, select_cases
from bert_numpy.benchmarks.measures import Difference, Result, Sample, compare_outputs, fastest, of_turn
from bert_numpy.benchmarks.report import markdown_table, number, table, text_table, to_dict
from bert_numpy.benchmarks.running import Report

FORWARD = find_case("forward-8x128")


def test_the_first_run_of_a_turn_does_not_count_if_there_are_three():
    assert of_turn([100.0, 1.0, 2.0, 9.0]) == 2.0
    assert of_turn([100.0, 1.0]) == 50.5
    assert of_turn([100.0]) == 100.0


def test_median_and_spread():
    sample = Sample("numpy", (10.0, 8.0, 12.0, 16.0, 4.0))  # sorted 4 8 10 12 16: quartiles 8 and 12
    assert sample.median == 10.0
    assert sample.spread == pytest.approx(0.4)
    assert Sample("numpy", (3.0,)).spread == 0.0


def test_the_reference_counts_with_its_lowest_median_not_its_lowest_value():
    best = fastest({"eager": [1.0, 5.0, 5.0], "sdpa": [4.0, 4.0, 4.0]})
    assert best == Sample("sdpa", (4.0, 4.0, 4.0))


def test_ratios_are_taken_round_by_round():
    """A slow round (the second) meets both sides and leaves the ratio alone."""
    ours, theirs = Sample("numpy", (1.0, 30.0, 2.0)), Sample("sdpa", (2.0, 60.0, 2.0))
    result = Result(FORWARD, ours, theirs, Sample("floor", (0.5, 20.0, 1.0)))
    assert result.ratio == 0.5  # of 0.5, 0.5, 1; the quotient of the medians would be 1
    assert result.ratio_range == (0.5, 0.75)
    assert result.floor_ratio == 2.0  # of 2, 1.5, 2


def test_a_side_that_did_not_run_has_no_ratio():
    result = Result(FORWARD, Sample("numpy", (1.0, 2.0)))
    assert (result.ratio, result.ratio_range, result.floor_ratio, result.ok) == (None, None, None, True)


def test_units():
    sample = Sample("numpy", (0.25,))
    assert Result(FORWARD, sample).shown(sample) == 250.0  # ms
    assert Result(find_case("tokenize-text"), sample, size=500_000).shown(sample) == 2.0  # MB a second
    peak = Sample("numpy", (7e6,))
    assert Result(find_case("memory-start"), peak).shown(peak) == 7.0


def test_the_largest_difference_and_its_share_of_the_rms():
    ours = {"a": np.array([1.0, 2.0], np.float32), "b": np.array([[3.0, -4.0]])}
    theirs = {"a": np.array([1.0, 2.0], np.float32), "b": np.array([[3.0, -4.5]])}
    difference = compare_outputs(ours, theirs)
    assert difference.name == "b"
    assert difference.largest == 0.5
    assert difference.relative == pytest.approx(0.5 / math.sqrt(9 + 20.25))
    assert not difference.ok
    assert compare_outputs(ours, ours).ok


def test_float32_rounding_passes_and_another_gelu_does_not():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(10_000)
    exact = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])
    tanh = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert compare_outputs({"y": exact.astype(np.float32)}, {"y": exact}).ok
    assert not compare_outputs({"y": tanh}, {"y": exact}).ok


@pytest.mark.parametrize("theirs", [[1, 2, 4], [1, 2]], ids=["another id", "fewer ids"])
def test_ids_must_be_equal(theirs):
    assert compare_outputs({"ids": np.array([1, 2, 3])}, {"ids": np.array([1, 2, 3])}).relative == 0
    assert not compare_outputs({"ids": np.array([1, 2, 3])}, {"ids": np.array(theirs)}).ok


def test_nan_is_no_agreement():
    assert not compare_outputs({"y": np.array([np.nan, 1.0])}, {"y": np.array([0.0, 1.0])}).ok


def test_two_sides_that_computed_other_things_are_refused():
    with pytest.raises(ValueError, match=r"different things: \['a'\] and \['b'\]"):
        compare_outputs({"a": np.zeros(1)}, {"b": np.zeros(1)})


# ---- cases ------------------------------------------------------------------


def test_names_of_cases_are_unique_and_select_in_the_order_of_the_table():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert select_cases() == list(CASES)
    assert [case.name for case in select_cases(["train", "forward-1x16"])] == ["forward-1x16", "train-8x128"]
    assert all(find_case(case.of).kind != "memory" for case in CASES if case.kind == "memory")


def test_part_of_a_word_is_no_name():
    with pytest.raises(ValueError, match="no case is called 'for'; there are forward, sentences, backward, train"):
        select_cases(["forward", "for"])


def test_gradients_of_vectors_tables_and_attention_scores_are_not_compared():
    layer = "bert.encoder.layer.0."
    compared = [f"{layer}output.dense.weight", "bert.pooler.dense.weight", f"{layer}attention.self.value.weight"]
    left_out = [
        f"{layer}attention.self.query.weight",
        f"{layer}attention.self.key.weight",
        f"{layer}output.LayerNorm.weight",
        f"{layer}output.dense.bias",
        "bert.encoder.layer.1.output.dense.weight",
        "bert.embeddings.word_embeddings.weight",
    ]
    assert [is_compared(name) for name in compared + left_out] == [True] * 3 + [False] * 6


# ---- report -----------------------------------------------------------------


@pytest.fixture
def report():
    results = [
        Result(
            FORWARD,
            Sample("numpy", (0.8, 0.9, 1.0)),
            Sample("sdpa", (1.0, 1.0, 2.0)),
            Sample("floor", (0.75, 0.75, 0.75)),
            Difference("pooler_output", 3.2e-6, 1e-6),
        ),
        Result(find_case("forward-1x512"), note="the model takes at most 37 tokens"),
        Result(
            find_case("tokenize-batch"),
            Sample("numpy", (0.5, 0.5, 0.5)),
            Sample("tokenizers", (0.25, 0.25, 0.25)),
            difference=Difference("ids", 0.0, 0.0),
            size=1_000_000,
        ),
    ]
    about = {"bert_numpy": "0.1.0", "numpy": "2.0.0", "blas": "openblas 0.3", "torch": "2.6.0"}
    settings = {"size": "base", "threads": 2, "repeats": 3, "sentences": "drawn", "text": "a.txt", "vocabulary": 30522}
    return Report(results, about, settings)


def test_the_table_shows_what_was_measured(report):
    header, *rows = table(report)
    forward = dict(zip(header, rows[0], strict=True))
    assert forward == {
        "case": "forward, 8 x 128",
        "bert_numpy": "900 ms",
        "spread": "11 %",  # quartiles 0.85 and 0.95
        "transformers": "1,000 ms",
        "spread ": "50 %",
        "best of it": "sdpa",
        "ratio": "0.80",  # of 0.8, 0.9, 0.5
        "quartiles": "0.65 to 0.85",
        "products": "750 ms",
        "x products": "1.20",
        "max|d|": "3e-06",
        "note": "",
    }
    assert rows[1][-1] == "the model takes at most 37 tokens"
    assert dict(zip(header, rows[2], strict=True))["bert_numpy"] == "2.00 MB/s"
    assert dict(zip(header, rows[2], strict=True))["max|d|"] == "equal"


def test_columns_without_content_are_left_out(report):
    alone = report._replace(results=[Result(FORWARD, Sample("numpy", (0.8,)))])
    assert table(alone)[0] == ["case", "bert_numpy"]
    assert "ratio:" not in text_table(alone)


def test_the_text_table_is_even_and_says_what_it_was_measured_on(report):
    lines = text_table(report).splitlines()
    assert lines[0].index("max|d|") + len("max|d|") == lines[1].index("3e-06") + len("3e-06")
    assert "base size, float32, 2 threads each (tokenizers: 1), medians of 3" in lines
    assert any(line.startswith("bert_numpy 0.1.0, NumPy 2.0.0 with openblas 0.3, torch 2.6.0; ") for line in lines)
    assert lines[-1] == "tokenized: a.txt, 30,522 word pieces"


def test_the_markdown_table_has_a_cell_for_every_column(report):
    lines = markdown_table(report).splitlines()
    assert lines[1].startswith("| --- | ---: |")
    cells = {len(line.replace("\\|", "").split("|")) for line in lines[:5]}
    assert cells == {14}  # twelve and the two outer ends


def test_json_holds_every_round(report):
    content = json.loads(json.dumps(to_dict(report)))
    first = content["results"][0]
    assert first["ours"]["values"] == [0.8, 0.9, 1.0]
    assert first["reference"]["variant"] == "sdpa"
    assert first["difference"]["largest"] == 3.2e-6
    assert first["ratio"] == pytest.approx(0.8)
    assert content["ok"] is True


def test_a_report_with_a_difference_is_not_ok(report):
    bad = Result(FORWARD, difference=Difference("pooler_output", 0.1, 0.1), note="not measured")
    assert report.ok
    assert not report._replace(results=[*report.results, bad]).ok


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04567, "0.046"), (0.9996, "1.00"), (9.996, "10.0"), (99.96, "100"), (12345.6, "12,346")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_the_picture_has_a_bar_for_each_ratio_and_the_size_it_says(report, tmp_path):
    from matplotlib import image

    from bert_numpy.benchmarks.picture import LESS, MORE, draw

    path = tmp_path / "bench.png"
    with open(path, "wb") as file:
        draw(report, file)
    pixels = np.round(255 * image.imread(path)[..., :3]).astype(int)
    assert pixels.shape[1] == 1600
    colours = {tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)): c for c in (LESS, MORE)}
    width = {
        name: (pixels == colour).all(axis=-1).sum(axis=1).max() for colour, name in colours.items()
    }  # the longest run of a bar's colour in any row
    assert width[MORE] / width[LESS] == pytest.approx(2.0 / 0.8, rel=0.05)  # ratios 2 and 0.8


def test_without_ratios_there_is_nothing_to_draw(report, tmp_path):
    from bert_numpy.benchmarks.picture import draw

    with open(tmp_path / "bench.png", "wb") as file, pytest.raises(ValueError, match="run with --against transformers"):
        draw(report._replace(results=report.results[1:2]), file)
