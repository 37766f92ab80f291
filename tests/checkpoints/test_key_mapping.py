"""Names of published files, fitted to the names a model expects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.checkpoints import CheckpointError, key_mapping

BACKBONE = [
    "embeddings.word_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.0.output.LayerNorm.weight",
    "encoder.layer.11.output.dense.bias",
    "pooler.dense.weight",
]
HEADS = ["cls.predictions.bias", "cls.predictions.transform.LayerNorm.weight", "cls.seq_relationship.weight"]
WITH_HEAD = [*("bert." + name for name in BACKBONE), *HEADS]


def in_old_style(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def mapped_names(names, expected):
    """Each source name is its own value, so that the result shows what went where."""
    mapped, ignored = key_mapping.to_expected({name: name for name in names}, set(expected))
    assert sorted([*mapped.values(), *ignored]) == sorted(names)
    return mapped, ignored


@pytest.mark.parametrize("old_style", [False, True], ids=["weight-bias", "gamma-beta"])
@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize("source_prefix", ["", "bert."])
@pytest.mark.parametrize("target_prefix", ["", "bert."])
def test_every_spelling_of_the_backbone_reaches_every_model(old_style, wrapper, source_prefix, target_prefix):
    expected = [target_prefix + name for name in BACKBONE] + (HEADS if target_prefix else [])
    spelled = [wrapper + source_prefix + (in_old_style(name) if old_style else name) for name in BACKBONE]
    mapped, ignored = mapped_names(spelled, expected)
    assert mapped == {target_prefix + name: source for name, source in zip(BACKBONE, spelled, strict=True)}
    assert ignored == []


def test_heads_keep_their_names():
    spelled = ["module." + in_old_style(name) for name in HEADS]
    assert list(mapped_names(spelled, WITH_HEAD)[0]) == HEADS


def test_values_are_passed_through_untouched():
    array = np.ones(3)
    mapped, _ = key_mapping.to_expected({"bert.embeddings.LayerNorm.gamma": array}, BACKBONE)
    assert mapped["embeddings.LayerNorm.weight"] is array


def test_the_arguments_are_not_changed():
    tensors, expected = {"module.pooler.dense.weight": 1}, ["bert.pooler.dense.weight"]
    key_mapping.to_expected(tensors, expected)
    assert tensors == {"module.pooler.dense.weight": 1}
    assert expected == ["bert.pooler.dense.weight"]


def test_unexpected_names_are_kept_for_the_model_to_report():
    names = ["bert.encoder.layer.12.output.dense.bias", "cls.predictions.bias", "extra"]
    assert list(mapped_names(names, BACKBONE)[0]) == [names[0].removeprefix("bert."), *names[1:]]
    assert list(mapped_names(["pooler.dense.bias", "extra"], WITH_HEAD)[0]) == ["bert.pooler.dense.bias", "extra"]


def test_the_pooler_gets_its_prefix_even_where_the_model_has_none():
    expected = [name for name in WITH_HEAD if "pooler" not in name]
    assert list(mapped_names(["pooler.dense.weight"], expected)[0]) == ["bert.pooler.dense.weight"]


@pytest.mark.parametrize("name", ["embeddings.position_ids", "bert.embeddings.position_ids",
                                  "module.bert.embeddings.position_ids", "position_ids"])  # fmt: skip
def test_position_ids_are_ignored(name):
    mapped, ignored = mapped_names([name, "pooler.dense.weight"], BACKBONE)
    assert list(mapped) == ["pooler.dense.weight"]
    assert ignored == [name]


def test_position_ids_are_kept_where_they_are_expected():
    mapped, ignored = mapped_names(["embeddings.position_ids"], ["embeddings.position_ids"])
    assert list(mapped) == ["embeddings.position_ids"]
    assert ignored == []


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
        ("bert.pooler.dense.weight", "pooler.dense.weight"),
        ("module.pooler.dense.weight", "pooler.dense.weight"),
        ("module.bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
    ],
)
@pytest.mark.parametrize("expected", [BACKBONE, WITH_HEAD, []], ids=["bare", "head", "nothing"])
def test_two_tensors_for_one_name(one, two, expected):
    with pytest.raises(CheckpointError, match="both stand for") as caught:
        key_mapping.to_expected({one: 1, two: 2}, expected, source="model.safetensors")
    for part in ("model.safetensors: ", repr(one), repr(two)):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("LayerNorm.gamma", "LayerNorm.weight"),
        ("bert.encoder.layer.3.output.LayerNorm.beta", "bert.encoder.layer.3.output.LayerNorm.bias"),
        ("module.x", "x"),
        ("MyLayerNorm.gamma", "MyLayerNorm.gamma"),
        ("adapter.gamma", "adapter.gamma"),
        ("bert.LayerNorm.gamma.x", "bert.LayerNorm.gamma.x"),
        ("bert.module.x", "bert.module.x"),
        ("modules.x", "modules.x"),
    ],
)
def test_canonical_name(name, renamed):
    assert key_mapping.canonical_name(name) == renamed


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("roberta.embeddings.word_embeddings.weight", "RoBERTa"),
        ("module.roberta.encoder.layer.0.output.dense.bias", "RoBERTa"),
        ("distilbert.transformer.layer.0.attention.q_lin.weight", "DistilBERT"),
        ("transformer.layer.0.attention.q_lin.weight", "DistilBERT"),
        ("albert.embeddings.word_embeddings.weight", "ALBERT"),
        ("encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", "ALBERT"),
        ("electra.embeddings.word_embeddings.weight", "ELECTRA"),
        ("generator_predictions.dense.weight", "ELECTRA"),
        ("discriminator_predictions.dense.weight", "ELECTRA"),
        ("mobilebert.embeddings.word_embeddings.weight", "MobileBERT"),
        ("deberta.encoder.rel_embeddings.weight", "DeBERTa"),
        ("encoder.layer.0.attention.self.in_proj.weight", "DeBERTa"),
        ("mpnet.embeddings.word_embeddings.weight", "MPNet"),
        ("model.layers.0.attn.Wqkv.weight", "ModernBERT"),
        ("decoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("model.encoder.layers.0.fc1.weight", "BART"),
        ("h.0.attn.c_attn.weight", "GPT-2"),
        ("model.layers.0.self_attn.q_proj.weight", "LLaMA"),
    ],
)
def test_other_families_are_refused_by_name(name, family):
    with pytest.raises(CheckpointError, match=f"x: this looks like .*{family}.*, not BERT") as caught:
        key_mapping.to_expected({"embeddings.LayerNorm.weight": 1, name: 2}, BACKBONE, source="x")
    assert repr(name) in str(caught.value)
    mapped, _ = key_mapping.to_expected({name: 2}, [name])  # unless the model asked for just that
    assert list(mapped.values()) == [2]


def test_no_name_of_bert_is_taken_for_another_family():
    for names in (BACKBONE, WITH_HEAD, list(map(in_old_style, WITH_HEAD)), ["cls.predictions.decoder.weight"]):
        assert key_mapping.foreign_family(names) is None
    assert key_mapping.foreign_family(["my_roberta.weight", "text_generator_.weight", "myattn.Wqkv.weight"]) is None


PARTS = st.sampled_from(["bert", "module", "embeddings", "encoder", "pooler", "cls", "LayerNorm", "gamma", "beta",
                         "weight", "bias", "position_ids", "x"])  # fmt: skip
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(".".join)


@given(st.sets(NAMES, max_size=6), st.sets(NAMES, max_size=6))
def test_nothing_is_lost_or_invented(names, expected):
    try:
        mapped, ignored = key_mapping.to_expected({name: name for name in names}, expected)
    except CheckpointError:
        canonical = [key_mapping.canonical_name(name).removeprefix("bert.") for name in names]
        assert len(set(canonical)) < len(names)  # refused only where two names may mean the same
        return
    assert sorted([*mapped.values(), *ignored]) == sorted(names)
    for target, source in mapped.items():
        canonical = key_mapping.canonical_name(source)
        assert target in (canonical, f"bert.{canonical}", canonical.removeprefix("bert."))
        assert target == canonical or canonical not in expected
