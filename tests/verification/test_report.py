"""What a report says: the table, JSON, JUnit; the first divergence, what inherits it, and where."""

import json
import math
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from own_port import dump_of

from bert_numpy.verification import compare
from bert_numpy.verification.comparison import THRESHOLD


@pytest.fixture
def spoiled(model, port, make_model, labelled):
    """The report on a port whose second layer has another epsilon, and whose last tensor of another shape is."""
    other = make_model("BertForPreTraining", np.float32)
    other.bert.encoder.layer[1].output.LayerNorm.eps = 1e-3
    dump = dump_of(other, labelled("BertForPreTraining"), gradients=False)
    return compare(model, {**dump, "seq_relationship_logits": np.zeros((3, 7), np.float32)})


def lines_of(report, every_tap=False):
    text = report.to_text(every_tap)
    assert text.endswith("\n")
    assert max(len(line) for line in text.splitlines()) <= 120
    return text.splitlines()


# ---- a correct port ----


def test_a_correct_port_is_equal_in_few_words(model, port):
    report = compare(model, port)
    assert report.ok
    assert (report.precision, report.checkpoint_dtype, report.threshold) == ("float32", "float32", THRESHOLD)
    assert all(tap.alone <= THRESHOLD and tap.times_noise <= THRESHOLD for tap in report.cases[0].taps)
    lines = lines_of(report)
    assert len(lines) == 7
    assert lines[-1].startswith("equal: all 13 tensors, the farthest at ")
    assert lines[4].startswith("  13 tensors equal, the farthest at ")


def test_all_taps_are_shown_if_asked_for(model, port):
    report = compare(model, port)
    shown = [line.split()[0] for line in lines_of(report, every_tap=True) if line.endswith("  ok")]
    assert shown == [tap.name for tap in report.cases[0].taps if not tap.is_gradient] + ["d"] * 3
    assert sum("the same best at 100 % of" in line for line in lines_of(report, every_tap=True)) == 2


def test_rounding_to_float16_is_known_by_the_numbers(model, port):
    half = {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in port.items()}
    assert compare(model, half).precision == "float16"


def test_the_measures_are_those_of_their_names(model, port):
    """max|d|, its ratio to RMS, the cosine and the place of a tap, computed another way."""
    wrong = port["hidden_states.1"].copy()
    wrong[1, 2, 3] += 0.5
    wrong[1, 9, 4] += 7.0  # padding
    report = compare(model, {**port, "hidden_states.1": wrong}, diagnose=False)
    tap = next(tap for tap in report.cases[0].taps if tap.name == "encoder.layer.0.output")
    real = port["attention_mask"] == 1
    truth = model.astype(np.float64)(
        **{name: port[name] for name in ("input_ids", "attention_mask", "token_type_ids")}, output_hidden_states=True
    ).hidden_states[1]
    d = np.abs(wrong - truth)[real]
    rms = np.sqrt((truth[real] ** 2).mean())
    assert tap.max_difference == pytest.approx(d.max(), rel=1e-6)
    assert tap.max_difference == pytest.approx(0.5, rel=1e-4)
    assert tap.ratio == pytest.approx(d.max() / rms, rel=1e-6)
    assert tap.times_noise * tap.noise == pytest.approx(np.sqrt((d**2).mean()) / rms, rel=1e-6)
    a, b = wrong[real].ravel(), truth[real].ravel()
    assert tap.cosine == pytest.approx(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-3)
    assert tap.worst == f"[1, 2, 3], token id {port['input_ids'][1, 2]}"
    assert tap.padded == pytest.approx(7.0 / np.sqrt((truth[truth != 0] ** 2).mean()), rel=0.1)


# ---- a wrong one ----


def test_the_first_divergence_is_named_and_later_ones_inherit(spoiled):
    (case,) = spoiled.cases
    assert not spoiled.ok
    assert case.first.name == "encoder.layer.1.output"
    verdicts = {tap.name: tap.verdict for tap in case.taps}
    assert verdicts["encoder.layer.0.output"] == "ok"
    assert verdicts["encoder.layer.1.attention.self.probs"] == "ok"
    assert verdicts["encoder.layer.1.output"] == "differs"
    assert verdicts["encoder.layer.2.output"] == verdicts["cls.predictions"] == "inherits"
    assert verdicts["cls.seq_relationship"] == "shape"
    (finding,) = case.findings
    assert (finding.tap, finding.name, finding.remedy) == (
        "encoder.layer.1.output",
        "LayerNorm epsilon 0.001",
        "set epsilon to 1e-12",
    )
    assert finding.times_noise < THRESHOLD


def test_the_table_marks_the_first_and_counts_the_rest(spoiled):
    lines = lines_of(spoiled)
    (first,) = [line for line in lines if line.startswith("> ")]
    assert first.split()[1] == "encoder.layer.1.output"
    assert first.endswith("  differs")
    assert "      has shape (3, 7), expected (3, 2): the sizes differ" in lines
    assert lines[-1] == (
        "DIFFERENT: first at encoder.layer.1.output, not what the reference computes from the port's own input"
    )
    text = " ".join(line.strip() for line in lines)
    assert "=> encoder.layer.1.output: equal to the reference with [LayerNorm epsilon 0.001] to " in text
    assert any(line.startswith("  farthest off: encoder.layer.1.output at [") for line in lines)


def test_a_long_report_shows_what_matters(model, labelled, make_model):
    other = make_model("BertForPreTraining", np.float32)
    other.bert.encoder.layer[1].output.LayerNorm.eps = 1e-3
    inputs = labelled("BertForPreTraining")
    report = compare(
        model, {"x/input_ids": inputs["input_ids"], **{f"x/{n}": a for n, a in dump_of(other, inputs).items()}}
    )
    lines = lines_of(report)
    assert "case x" in lines
    (rest,) = [line for line in lines if line.endswith("; --all shows them")]
    taps = report.cases[0].taps
    shown = [line for line in lines if line.endswith(("  ok", "  differs", "  inherits", "  drifts"))]
    assert len(shown) < len(taps)
    assert rest.startswith(f"  and {len(taps) - len(shown)} more: ")
    every = [line for line in lines_of(report, True) if line.endswith(("  ok", "  differs", "  inherits", "  drifts"))]
    assert len(every) == len(taps)
    assert any(line.startswith("d X ") for line in lines)


def test_many_notes_are_counted_unless_all_are_asked_for(model, port):
    extra = {f"extra {i}": np.zeros(2) for i in range(30)}
    report = compare(model, {**port, **extra}, diagnose=False)
    assert sum("note: not compared: extra" in line for line in lines_of(report)) == 7
    assert "  note: and 23 more like these; --all shows them" in lines_of(report)
    assert sum("note: not compared: extra" in line for line in lines_of(report, True)) == 30


def test_one_of_a_thing_is_no_plural(model, port):
    one = {name: port[name][:1] for name in ("input_ids", "token_type_ids", "hidden_states.3")}
    lines = lines_of(compare(model, one))
    assert any(line.startswith("  1 tensor equal, the farthest at ") for line in lines)
    assert lines[-1].startswith("equal: the 1 tensor, the farthest at ")
    lines = lines_of(compare(model, {**one, "speed": np.zeros(2)}))
    assert lines[-1].endswith(" x noise; NOT compared: 1 of the dump, whose name means nothing here")
    names = ("input_ids", "token_type_ids", "seq_relationship_logits")
    pooled = {name: port[name][:1] for name in names}
    lines = lines_of(compare(model, pooled), every_tap=True)
    assert "  cls.seq_relationship: the same best at 100 % of 1 place" in lines


def test_a_port_of_another_model_is_no_flood(port, make_model):
    report = compare(make_model("BertForPreTraining", np.float32, hidden_size=40), port, diagnose=False)
    lines = lines_of(report)
    rows = [line for line in lines if line.endswith(("  ok", "  shape", "  differs", "  inherits"))]
    assert 8 <= len(rows) <= 12 < len(report.cases[0].taps)
    assert lines[-1] == "DIFFERENT: first at embeddings, has shape (3, 11, 32), expected (3, 11, 40): the sizes differ"


def test_agreement_of_the_heads(model, port):
    logits = port["prediction_logits"].copy()
    best = logits[0, 0].argmax()
    logits[0, 0, best] = -1e3
    report = compare(model, {**port, "prediction_logits": logits}, diagnose=False)
    words, sentences = report.cases[0].agreements
    assert (words.head, words.count, sentences.count) == ("cls.predictions", 22, 3)
    assert words.argmax == pytest.approx(21 / 22)
    assert words.top5 == pytest.approx((21 * 5 + 4) / (22 * 5))
    assert (sentences.argmax, sentences.top5) == (1.0, 1.0)
    assert sentences.sentence() == "cls.seq_relationship: the same best at 100 % of 3 places"
    assert (
        words.sentence() == "cls.predictions: the same best at 95.45 % of 22 places, 99.09 % of the best five in common"
    )


# ---- JSON and JUnit ----


def strictly(text):
    """JSON without the constants that are not JSON."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_valid_and_has_what_the_table_has(spoiled):
    found = strictly(json.dumps(spoiled.to_dict()))
    assert found["ok"] is False
    (case,) = found["cases"]
    assert (case["ok"], case["first"]) == (False, "encoder.layer.1.output")
    assert [tap["name"] for tap in case["taps"]] == [tap.name for tap in spoiled.cases[0].taps]
    shape = next(tap for tap in case["taps"] if tap["verdict"] == "shape")
    assert (shape["max_difference"], shape["alone"], shape["shape"]) == (None, None, [3, 7])
    assert case["findings"][0]["name"] == "LayerNorm epsilon 0.001"


def test_json_has_no_nan_where_a_port_has(model, port):
    port["hidden_states.2"] = np.full_like(port["hidden_states.2"], np.nan)
    report = compare(model, port)
    found = strictly(json.dumps(report.to_dict()))
    row = next(tap for tap in found["cases"][0]["taps"] if tap["name"] == "encoder.layer.1.output")
    assert row["nan"] == 22 * 32
    assert math.isnan(report.cases[0].first.max_difference)


def test_junit_parses_and_counts(spoiled, model, port):
    suites = xml.fromstring(spoiled.to_junit().encode())
    (suite,) = suites
    tests = list(suite)
    failed = {test.get("name"): test[0] for test in tests if len(test) and test[0].tag == "failure"}
    skipped = {test.get("name") for test in tests if len(test) and test[0].tag == "skipped"}
    assert skipped == {tap.name for tap in spoiled.cases[0].taps if tap.verdict == "inherits"}
    assert int(suite.get("skipped")) == len(skipped) > 0
    assert (suites.tag, suite.get("tests"), suite.get("failures")) == ("testsuites", str(len(tests)), str(len(failed)))
    assert set(failed) == {"encoder.layer.1.output", "cls.seq_relationship"}
    assert "[LayerNorm epsilon 0.001]" in failed["encoder.layer.1.output"].text
    assert failed["cls.seq_relationship"].get("message") == "shape: has shape (3, 7), expected (3, 2): the sizes differ"
    (suite,) = xml.fromstring(compare(model, port).to_junit().encode())
    assert (suite.get("tests"), suite.get("failures")) == ("13", "0")


def test_junit_survives_hostile_names_and_counts_problems(model, port):
    dump = {f"a\x00<&'\n/{name}": array for name, array in port.items()}
    dump["a\x00<&'\n/hidden_states.1"] = np.full(3, "x")
    dump["\x1b[2J"] = np.zeros(2)
    report = compare(model, dump, diagnose=False)
    (suite,) = xml.fromstring(report.to_junit().encode())
    problems = report.cases[0].problems
    assert len(problems) == 2
    assert int(suite.get("failures")) == 2
    assert int(suite.get("tests")) == len(report.cases[0].taps) + 2
    assert "\x1b" not in report.to_text()
    assert {character for character in report.to_junit() if not character.isprintable()} == {"\n"}


def test_each_case_is_a_suite(model, port):
    dump = {f"{case}/{name}": array for case in ("one", "two") for name, array in port.items()}
    dump["two/hidden_states.3"] = port["hidden_states.3"] * 2
    report = compare(model, dump, diagnose=False)
    assert [case.ok for case in report.cases] == [True, False]
    suites = xml.fromstring(report.to_junit().encode())
    assert [(suite.get("name"), suite.get("failures") == "0") for suite in suites] == [("one", True), ("two", False)]
    lines = lines_of(report)
    assert lines[lines.index("case one") + 1].startswith("  13 tensors equal")
    assert lines[-1].startswith("DIFFERENT: first at encoder.layer.2.output")
