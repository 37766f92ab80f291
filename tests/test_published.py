"""Published numbers: each kind of them, with numbers that the reference library computed for the model that ships."""

import json

import numpy as np
import pytest

from bert_numpy.checkpoints import safetensors
from bert_numpy.hub import find_model, known_models
from bert_numpy.verification import published

FOLDER = find_model("tiny-random")
STORED = safetensors.load_file(FOLDER / "reference.safetensors")
HIDDEN = STORED["BertModel/outputs/hidden_states.1"][1]
TEXT = json.loads(safetensors.read_header(FOLDER / "reference.safetensors").metadata["texts"])[1][0]


def references():
    """A reference of every kind; the second text of the stored batch is a single one."""
    ids, mask = STORED["inputs/input_ids"][1:2].tolist(), STORED["inputs/attention_mask"][1:2].tolist()
    last = STORED["BertModel/outputs/last_hidden_state"][1]
    common = {"source": "a test", "tolerance": 1e-4}
    places = {"rows": [0, 2], "columns": [1, 5, 7]}
    yield {
        "kind": "last_hidden_state",
        "input_ids": ids,
        "attention_mask": mask,
        **places,
        "values": last[np.ix_([0, 2], [1, 5, 7])].tolist(),
        **common,
    }
    yield {
        "kind": "token_vectors",
        "text": TEXT,
        "layer": 1,
        "positions": [0, 3],
        "columns": [2, 4],
        "values": HIDDEN[np.ix_([0, 3], [2, 4])].tolist(),
        **common,
    }


def test_stored_numbers_are_found_again():
    reports = list(published.verify_published(FOLDER, references()))
    assert [report.ok for report in reports] == [True, True]
    assert reports[0].title == "last hidden state, a test"


@pytest.mark.parametrize("which", [0, 1])
def test_a_number_that_is_off_is_seen(which):
    changed = list(references())[which]
    changed["values"][1][1] += 2e-4
    (report,) = published.verify_published(FOLDER, [changed])
    assert not report.ok
    assert report.worst.max_difference == pytest.approx(2e-4, rel=0.05)


def test_masks_are_read_one_by_one_or_all_tokens_at_the_only_one():
    from bert_numpy import BertForMaskedLM, BertTokenizer

    tokenizer, model = BertTokenizer.from_pretrained(FOLDER), BertForMaskedLM.from_pretrained(FOLDER)
    for text, tokens in [("to [MASK] or", ["be", "not", "a"]), ("[MASK] be [MASK]", ["to", "or"])]:
        ids = tokenizer(text)["input_ids"]
        places = [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]
        logits = model([ids]).logits[0]
        chosen = zip(places if len(places) > 1 else places * 3, tokenizer.convert_tokens_to_ids(tokens), strict=True)
        values = [float(logits[place, token]) for place, token in chosen]
        common = {"source": "a test", "text": text, "tokens": tokens, "tolerance": 1e-5}
        (report,) = published.verify_published(FOLDER, [{"kind": "fill_mask_logits", "values": values, **common}])
        assert report.ok
        rows = [np.exp(logits[place]) / np.exp(logits[place]).sum() for place in places]
        rows = rows if len(places) > 1 else rows * 3
        chances = [float(row[i]) for row, i in zip(rows, tokenizer.convert_tokens_to_ids(tokens), strict=True)]
        wanted = {"kind": "fill_mask_probabilities", "values": chances, **common}
        (report,) = published.verify_published(FOLDER, [wanted])
        assert report.ok


def test_every_kind_in_the_registry_is_known():
    kinds = [entry["kind"] for model in known_models() for entry in model.details.get("references", [])]
    assert len(kinds) == 5
    assert set(kinds) <= set(published._KINDS)
    with pytest.raises(ValueError, match="a published number of the kind 'poem' is not known"):
        list(published.verify_published(FOLDER, [{"kind": "poem"}]))
