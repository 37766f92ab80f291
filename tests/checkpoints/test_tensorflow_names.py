"""Google's names become today's, and kernels are transposed whatever their shape."""

from pathlib import Path

import numpy as np
import pytest
from support import randomize

from bert_numpy import models
from bert_numpy.checkpoints import CheckpointError, tensorflow
from bert_numpy.checkpoints.tensorflow_names import to_published, unknown_names

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorflow"


def to_google(name, array):
    """Today's name as Google's, written from the list of names in the paper's repository."""
    parts = name.split(".")
    if "layer" in parts:
        at = parts.index("layer")
        parts[at : at + 2] = [f"layer_{parts[at + 1]}"]
    leaf, scope = parts.pop(), "/".join(parts)
    if parts[-1] == "LayerNorm":
        return f"{scope}/{'gamma' if leaf == 'weight' else 'beta'}", array
    if parts[-1].endswith("_embeddings"):
        return scope, array
    heads = {"cls/predictions": "cls/predictions/", "cls/seq_relationship": "cls/seq_relationship/",
             "classifier": "", "qa_outputs": "cls/squad/"}  # fmt: skip
    if scope in heads:
        return f"{heads[scope]}output_{'weights' if leaf == 'weight' else 'bias'}", array
    return (f"{scope}/kernel", array.T) if leaf == "weight" else (f"{scope}/bias", array)


@pytest.mark.parametrize("head", ["ForPreTraining", "ForSequenceClassification", "ForQuestionAnswering"])
def test_every_name_of_a_model_and_back(config, head, same):
    model = getattr(models, f"Bert{head}")(config.changed(num_hidden_layers=12, intermediate_size=48), rng=0)
    randomize(model, np.random.default_rng(5))  # attention's kernels are square: only values can tell
    published = {name: parameter.data for name, parameter in model.named_parameters()}
    google = dict(to_google(name, array) for name, array in published.items())
    assert len(google) == len(published)
    assert unknown_names(google) == []
    assert "bert/encoder/layer_11/attention/self/query/kernel" in google
    same(to_published(google), published)


def test_some_names_spelled_out():
    shapes = {
        "bert/encoder/layer_10/intermediate/dense/kernel": (3, 5),
        "bert/encoder/layer_0/attention/output/LayerNorm/beta": (3,),
        "bert/embeddings/LayerNorm/gamma": (3,),
        "bert/embeddings/token_type_embeddings": (2, 3),
        "cls/predictions/output_bias": (7,),
        "cls/seq_relationship/output_weights": (2, 3),
        "output_weights": (4, 3),
        "output_bias": (4,),
        "cls/squad/output_weights": (2, 3),
        "cls/squad/output_bias": (2,),
    }
    assert {name: array.shape for name, array in to_published({n: np.ones(s) for n, s in shapes.items()}).items()} == {
        "bert.encoder.layer.10.intermediate.dense.weight": (5, 3),
        "bert.encoder.layer.0.attention.output.LayerNorm.bias": (3,),
        "bert.embeddings.LayerNorm.weight": (3,),
        "bert.embeddings.token_type_embeddings.weight": (2, 3),
        "cls.predictions.bias": (7,),
        "cls.seq_relationship.weight": (2, 3),
        "classifier.weight": (4, 3),
        "classifier.bias": (4,),
        "qa_outputs.weight": (2, 3),
        "qa_outputs.bias": (2,),
    }


def test_what_tensorflow_wrote(config):
    """The whole way from a file of TensorFlow to a model that has exactly these parameters."""
    published = to_published(tensorflow.load_checkpoint(GOLDEN / "bert_model.ckpt"))
    small = config.changed(vocab_size=29, max_position_embeddings=7, hidden_size=6, num_attention_heads=2,
                           intermediate_size=10, num_hidden_layers=2)  # fmt: skip
    model = models.BertForPreTraining(small, rng=0)
    assert {name: array.shape for name, array in published.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }
    with np.load(GOLDEN / "expected.npz") as file:
        query = file["bert_model.ckpt/bert/encoder/layer_1/attention/self/query/kernel"]
    found = published["bert.encoder.layer.1.attention.self.query.weight"]
    assert not np.array_equal(query, query.T)
    assert np.array_equal(found, query.T)


@pytest.mark.parametrize(
    "name",
    [
        "bert/encoder/layer_00/output/dense/kernel",
        "bert/encoder/layer_#/output/dense/kernel",
        "bert/encoder/layer_/output/dense/kernel",
        "bert/encoder/layer_1/layer_2/output/dense/kernel",
        "bert/encoder/layer_١/output/dense/kernel",
        "bert/pooler/dense/weight",
        "bert/pooler/dense/kernel/adam_m",
        "x/bert/pooler/dense/kernel",
        "Bert/pooler/dense/kernel",
        "bert.pooler.dense.weight",
        "loss/output_bias",
        "",
    ],
)
def test_unknown_names_are_kept(name):
    array = np.ones((2, 3))
    published = to_published({name: array, "output_bias": np.ones(2)})
    assert published[name] is array
    assert list(published) == [name, "classifier.bias"]
    assert unknown_names([name, "output_bias"]) == [name]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("bert/encoder/transformer/group_0/inner_group_0/attention_1/self/key/kernel", "ALBERT"),
        ("bert/encoder/embedding_hidden_mapping_in/kernel", "ALBERT"),
        ("electra/embeddings/word_embeddings", "ELECTRA"),
        ("discriminator_predictions/dense/kernel", "ELECTRA"),
        ("generator/encoder/layer_0/output/dense/kernel", "ELECTRA"),
        ("bert/encoder/layer_0/bottleneck/input/dense/kernel", "MobileBERT"),
        ("encoder/block_000/layer_000/SelfAttention/q", "T5"),
        ("model/transformer/layer_0/ff/layer_1/kernel", "XLNet"),
        ("model/h0/attn/c_attn/w", "GPT-2"),
        ("encoder/layer-1/.ATTRIBUTES/VARIABLE_VALUE", "TensorFlow 2's object-based kind"),
    ],
)
def test_other_families_are_refused(name, family):
    with pytest.raises(CheckpointError, match=f"^model.ckpt: this looks like .*{family}.*it holds '"):
        to_published({"bert/pooler/dense/bias": np.ones(2), name: np.ones(2)}, source="model.ckpt")


@pytest.mark.parametrize("name", ["bert/pooler/dense/kernel", "bert/embeddings/LayerNorm/gamma", "output_weights"])
def test_wrong_number_of_dimensions(name):
    with pytest.raises(CheckpointError, match=r"has shape \(2, 3, 4\), [12] dimensions were wanted"):
        to_published({name: np.ones((2, 3, 4))})
