"""Published fields and defaults, round trips, and the refusal of what is not BERT."""

import json

import numpy as np
import pytest

from bert_numpy import models
from bert_numpy.configuration import PRESETS, BertConfig

# (preset, vocabulary) -> parameters of BertModel with pooler, of BertForPreTraining
PUBLISHED_COUNTS = {
    ("tiny", 30522): (4_385_920, 4_433_468),
    ("mini", 30522): (11_170_560, 11_267_900),
    ("small", 30522): (28_763_648, 29_058_876),
    ("medium", 30522): (41_373_184, 41_668_412),
    ("base", 30522): (109_482_240, 110_106_428),
    ("base", 28996): (108_310_272, 108_932_934),
    ("base", 21128): (102_267_648, 102_882_442),
    ("base", 119547): (177_853_440, 178_566_653),
    ("large", 30522): (335_141_888, 336_226_108),
}


@pytest.mark.parametrize(("preset", "vocab_size"), PUBLISHED_COUNTS)
def test_presets_have_the_published_number_of_parameters(preset, vocab_size):
    config = BertConfig.preset(preset, vocab_size=vocab_size)
    bare = models.BertModel(config, init_weights=False).num_parameters()
    both = models.BertForPreTraining(config, init_weights=False).num_parameters()
    assert (bare, both) == PUBLISHED_COUNTS[preset, vocab_size]


def test_defaults_are_those_of_base():
    assert BertConfig() == BertConfig.preset("base")
    assert set(PRESETS) == {"tiny", "mini", "small", "medium", "base", "large"}


def test_unknown_keys_are_kept_and_written_back(tmp_path):
    config = BertConfig.from_dict({"vocab_size": 9, "my_note": {"a": [1]}, "finetuning_task": "cola"})
    assert config.my_note == {"a": [1]}
    config.save_pretrained(tmp_path)
    again = BertConfig.from_pretrained(tmp_path)
    assert again == config
    assert json.loads((tmp_path / "config.json").read_text())["my_note"] == {"a": [1]}
    with pytest.raises(AttributeError, match="no field 'nothing'"):
        _ = config.nothing


def test_labels_follow_from_any_of_their_three_fields():
    assert BertConfig(num_labels=3).label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert BertConfig(id2label={"1": "no", "0": "yes"}).id2label == {0: "yes", 1: "no"}
    assert BertConfig(label2id={"no": 1, "yes": 0}).id2label == {0: "yes", 1: "no"}
    assert BertConfig(id2label={0: "a", 1: "b", 2: "c"}).num_labels == 3


REFUSED = {
    "heads do not divide": ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size 30 is not a multiple of"),
    "zero": ({"num_hidden_layers": 0}, "num_hidden_layers must lie between 1 and"),
    "negative": ({"vocab_size": -5}, "vocab_size must lie between 1 and"),
    "float": ({"hidden_size": 768.0}, "hidden_size must be a whole number, not 768.0"),
    "text": ({"hidden_size": "768"}, "hidden_size must be a whole number, not '768'"),
    "boolean": ({"hidden_size": True}, "hidden_size must be a whole number, not True"),
    "null": ({"intermediate_size": None}, "intermediate_size must be a whole number, not None"),
    "beyond all": ({"vocab_size": 10**9}, "vocab_size must lie between 1 and 16777216, not 1000000000"),
    "segments 0": ({"type_vocab_size": 0}, "type_vocab_size must lie"),
    "dropout below 0": ({"hidden_dropout_prob": -0.1}, "hidden_dropout_prob must be a number, at least 0 and below 1"),
    "dropout 1": ({"attention_probs_dropout_prob": 1.0}, "attention_probs_dropout_prob must be a number"),
    "dropout NaN": ({"hidden_dropout_prob": float("nan")}, "hidden_dropout_prob must be a number"),
    "epsilon 0": ({"layer_norm_eps": 0}, "layer_norm_eps must be a number, positive and finite, not 0"),
    "epsilon infinite": ({"layer_norm_eps": float("inf")}, "layer_norm_eps must be"),
    "activation": ({"hidden_act": "swish"}, "hidden_act 'swish' is not supported; choose from gelu, gelu_new"),
    "padding id": ({"pad_token_id": 30522}, "pad_token_id must be an id from 0 to 30521 or null, not 30522"),
    "problem": ({"problem_type": "ranking"}, "problem_type 'ranking' is not supported"),
    "labels with a gap": ({"id2label": {0: "a", 2: "b"}}, "id2label must number the labels 0, 1, 2"),
    "labels in a list": ({"id2label": ["a", "b"]}, r"id2label must be a mapping, not \['a', 'b'\]"),
    "a label twice": ({"label2id": {"a": 0, "b": 0}}, "id2label must number the labels 0, 1, 2"),
    "a number twice": ({"id2label": {0: "x", "0": "y"}}, "id2label must number the labels 0, 1, 2"),
    "a label that is no text": ({"id2label": {0: None}}, "the labels must be text"),
    "a word for a number": ({"id2label": {"one": "a"}}, "id2label must number the labels 0, 1, 2 …, not 'one'"),
    "maps that disagree": ({"id2label": {0: "a", 1: "b"}, "label2id": {"b": 0, "a": 1}}, "contradict each other"),
    "a number beyond floats": ({"layer_norm_eps": 10**400}, "layer_norm_eps must be a number, positive and finite"),
    "labels against count": ({"id2label": {0: "a"}, "num_labels": 2}, "num_labels is 2 but id2label names 1"),
    "another model": ({"model_type": "roberta"}, "model_type is 'roberta'; this package holds BERT only"),
    "decoder": ({"is_decoder": True}, "is_decoder is True; BERT here is an encoder only"),
    "cross attention": ({"add_cross_attention": True}, "add_cross_attention is True"),
    "relative positions": (
        {"position_embedding_type": "relative_key"},
        "position_embedding_type 'relative_key' is not",
    ),
    "pruned heads": ({"pruned_heads": {"0": [1]}}, "pruned_heads .* is not supported; load the unpruned model"),
    "flag": ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false, not 'yes'"),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_honoured_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        BertConfig(**fields)


def test_numpy_integers_are_whole_numbers():
    assert BertConfig(hidden_size=np.int64(24), num_attention_heads=np.int32(2)).head_size == 12


GOOD = BertConfig.preset("tiny").to_dict()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a valid JSON configuration"),
        (b"{", "is not a valid JSON configuration"),
        (b'{"vocab_size": 1,}', "is not a valid JSON configuration"),
        (b'{"vocab_size": 1, "vocab_size": 2}', "repeated key 'vocab_size'"),
        (b"[1]", "holds a JSON list; a configuration is an object"),
        (b"\xff\xfe{\x00", "is not a valid JSON configuration"),
        (b"[" * 100_000, "is not a valid JSON configuration"),
        (b'{"vocab_size": 9, "hidden_size": 4}', "missing num_hidden_layers, num_attention_heads, intermediate_size"),
        (b'{"model_type": "distilbert", "dim": 768}', "model_type is 'distilbert'"),
        (json.dumps({**GOOD, "hidden_size": "128"}).encode(), "hidden_size must be a whole number"),
        (json.dumps({**GOOD, "self": 1}).encode(), "multiple values for"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_by_path(content, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        BertConfig.from_json_file(path)
    assert str(path) in str(error.value)


def test_a_byte_order_mark_and_a_missing_epsilon_are_fine(tmp_path):
    google = {name: value for name, value in GOOD.items() if name != "layer_norm_eps"}
    (tmp_path / "bert_config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(google).encode())
    assert BertConfig.from_pretrained(tmp_path).layer_norm_eps == 1e-12


def test_saving_is_all_or_nothing(tmp_path, monkeypatch):
    BertConfig(vocab_size=5).save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_bytes()

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="No space left"):
        BertConfig(vocab_size=6).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_dictionary_that_was_handed_out_is_not_the_configuration():
    config = BertConfig(num_labels=2)
    config.to_dict()["id2label"][0] = "other"
    assert config.id2label[0] == "LABEL_0"


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no configuration file .*config\.json"):
        BertConfig.from_json_file(tmp_path / "config.json")
    with pytest.raises(FileNotFoundError, match=r"no config\.json in"):
        BertConfig.from_pretrained(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="no model nowhere: there is no such folder, and the models that ship are"
    ):
        BertConfig.from_pretrained("nowhere")
