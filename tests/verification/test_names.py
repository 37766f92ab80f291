"""Every name that other programs give a tap, and what is said of a name that means nothing."""

import pytest

from bert_numpy import models
from bert_numpy.verification.names import Names
from bert_numpy.verification.steps import parameters_of, steps_of


@pytest.fixture
def names_of(config):
    """A function (class name, names of one's own) -> Names of a model of three layers."""

    def make(class_name="BertForPreTraining", renamed=None):
        model = getattr(models, class_name)(config, init_weights=False)
        return Names([*(step.tap for step in steps_of(model)), *parameters_of(model)], renamed)

    return make


OUTPUTS_OF_TRANSFORMERS = {
    "hidden_states.0": "embeddings",
    "hidden_states.1": "encoder.layer.0.output",
    "hidden_states.3": "encoder.layer.2.output",
    "hidden_states[2]": "encoder.layer.1.output",
    "hidden_states_2": "encoder.layer.1.output",
    "hidden_states/2": "encoder.layer.1.output",
    "attentions.2": "encoder.layer.2.attention.self.probs",
    "last_hidden_state": "encoder.layer.2.output",
    "pooler_output": "pooler",
    "prediction_logits": "cls.predictions",
    "seq_relationship_logits": "cls.seq_relationship",
    "loss": "loss",
}
MODULES_OF_TRANSFORMERS = {
    "bert.embeddings": "embeddings",
    "bert.embeddings.word_embeddings": "embeddings.word_embeddings",
    "bert.embeddings.LayerNorm": "embeddings.LayerNorm",
    "bert.embeddings.dropout": "embeddings",
    "bert.encoder": "encoder.layer.2.output",
    "bert.encoder.layer.1": "encoder.layer.1.output",
    "bert.encoder.layer[1]": "encoder.layer.1.output",
    "bert.encoder.layer.1.attention": "encoder.layer.1.attention.output",
    "bert.encoder.layer.1.attention.self": "encoder.layer.1.attention.self.context",
    "bert.encoder.layer.1.attention.self.query": "encoder.layer.1.attention.self.query",
    "bert.encoder.layer.1.attention.self.dropout": "encoder.layer.1.attention.self.dropout",
    "bert.encoder.layer.1.attention.output.dense": "encoder.layer.1.attention.output.dense",
    "bert.encoder.layer.1.attention.output.dropout": "encoder.layer.1.attention.output.dropout",
    "bert.encoder.layer.1.attention.output.LayerNorm": "encoder.layer.1.attention.output",
    "bert.encoder.layer.1.intermediate": "encoder.layer.1.intermediate.act",
    "bert.encoder.layer.1.intermediate.intermediate_act_fn": "encoder.layer.1.intermediate.act",
    "bert.encoder.layer.1.output.LayerNorm": "encoder.layer.1.output",
    "module.bert.encoder.layer.1.output": "encoder.layer.1.output",
    "model.encoder.layer.1.output": "encoder.layer.1.output",
    "bert.pooler": "pooler",
    "bert.pooler.dense": "pooler.dense",
    "bert.pooler.activation": "pooler",
    "cls.predictions.transform.transform_act_fn": "cls.predictions.transform.act",
    "cls.predictions.transform.LayerNorm": "cls.predictions.transform",
    "cls.predictions.decoder": "cls.predictions",
    "cls": "cls.predictions",
    "cls.seq_relationship": "cls.seq_relationship",
}
LISTS_CALLED_LAYERS = {
    "encoder.layers.1": "encoder.layer.1.output",
    "bert.encoder.layers.1.output": "encoder.layer.1.output",
    "encoder.layers[2].attention.self": "encoder.layer.2.attention.self.context",
    "encoder/layers_0/intermediate/dense": "encoder.layer.0.intermediate.dense",
    "model.encoder.layers.0.attention.output.LayerNorm": "encoder.layer.0.attention.output",
}
LAYER_OF_TENSORFLOW = {
    "attention/self/query/BiasAdd:0": "attention.self.query",
    "attention/self/transpose:0": "attention.self.query",
    "attention/self/Reshape_1:0": "attention.self.key",
    "attention/self/value/BiasAdd:0": "attention.self.value",
    "attention/self/transpose_2:0": "attention.self.value",
    "attention/self/Mul:0": "attention.self.scores",
    "attention/self/add:0": "attention.self.scores",
    "attention/self/Softmax:0": "attention.self.probs",
    "attention/self/transpose_3:0": "attention.self.context",
    "attention/self/Reshape_3:0": "attention.self.context",
    "attention/output/dense/BiasAdd:0": "attention.output.dense",
    "attention/output/add:0": "attention.output.add",
    "attention/output/LayerNorm/batchnorm/add_1:0": "attention.output",
    "intermediate/dense/BiasAdd:0": "intermediate.dense",
    "intermediate/dense/mul_1:0": "intermediate.act",
    "intermediate/dense/mul_3:0": "intermediate.act",
    "output/dense/BiasAdd:0": "output.dense",
    "output/add:0": "output.add",
    "output/LayerNorm/batchnorm/add_1:0": "output",
}
TENSORFLOW = {
    **{f"bert/encoder/layer_2/{name}": f"encoder.layer.2.{tap}" for name, tap in LAYER_OF_TENSORFLOW.items()},
    "bert/embeddings/LayerNorm/batchnorm/add_1:0": "embeddings.LayerNorm",
    "bert/pooler/Squeeze:0": "pooler.token",
    "bert/pooler/dense/BiasAdd:0": "pooler.dense",
    "bert/pooler/dense/Tanh:0": "pooler",
    "cls/predictions/transform/dense/mul_1:0": "cls.predictions.transform.act",
    "cls/predictions/transform/LayerNorm/batchnorm/add_1:0": "cls.predictions.transform",
    "cls/predictions/BiasAdd:0": "cls.predictions",
    "cls/seq_relationship/BiasAdd:0": "cls.seq_relationship",
}
LAYER_OF_ONNX = {
    "attention/self/query/Add": "attention.self.query",
    "attention/self/key/Add": "attention.self.key",
    "attention/self/value/Add": "attention.self.value",
    "attention/self/Add": "attention.self.scores",
    "attention/self/Softmax": "attention.self.probs",
    "attention/self/Reshape_3": "attention.self.context",
    "attention/output/dense/Add": "attention.output.dense",
    "attention/output/Add": "attention.output.add",
    "attention/output/LayerNorm/LayerNormalization": "attention.output",
    "intermediate/dense/Add": "intermediate.dense",
    "intermediate/intermediate_act_fn/Mul_1": "intermediate.act",
    "output/dense/Add": "output.dense",
    "output/Add": "output.add",
    "output/LayerNorm/LayerNormalization": "output",
    "output/LayerNorm/Add_1": "output",
}
ONNX = {
    **{f"/bert/encoder/layer.1/{name}_output_0": f"encoder.layer.1.{tap}" for name, tap in LAYER_OF_ONNX.items()},
    "/bert/embeddings/word_embeddings/Gather_output_0": "embeddings.word_embeddings",
    "/bert/embeddings/Add_1_output_0": "embeddings.add",
    "/bert/embeddings/LayerNorm/LayerNormalization_output_0": "embeddings.LayerNorm",
    "/bert/pooler/Gather_output_0": "pooler.token",
    "/bert/pooler/dense/Gemm_output_0": "pooler.dense",
    "/bert/pooler/activation/Tanh_output_0": "pooler",
    "/cls/predictions/transform/dense/Add_output_0": "cls.predictions.transform.dense",
    "/cls/predictions/transform/transform_act_fn/Mul_1_output_0": "cls.predictions.transform.act",
    "/cls/predictions/transform/LayerNorm/LayerNormalization_output_0": "cls.predictions.transform",
    "/cls/predictions/decoder/Add_output_0": "cls.predictions",
    "/cls/seq_relationship/Gemm_output_0": "cls.seq_relationship",
}
STEPS_IN_BETWEEN_OF_ONNX = [
    f"/bert/encoder/layer.1/{name}_output_0"
    for name in (
        "attention/self/query/MatMul",
        "attention/self/MatMul",
        "attention/self/Mul",
        "attention/self/Reshape",
        "attention/self/Transpose_2",
        "attention/self/MatMul_1",
        "attention/output/dense/MatMul",
        "intermediate/intermediate_act_fn/Mul",
        "intermediate/intermediate_act_fn/Add",
        "attention/self/Concat",
    )
]
BLOCK_OF_TRANSFORMER_LENS = {
    "attn.hook_q": "attention.self.query",
    "attn.hook_k": "attention.self.key",
    "attn.hook_v": "attention.self.value",
    "attn.hook_attn_scores": "attention.self.scores",
    "attn.hook_pattern": "attention.self.probs",
    "attn.hook_z": "attention.self.context",
    "hook_attn_out": "attention.output.dense",
    "hook_resid_mid": "attention.output.add",
    "hook_mlp_in": "attention.output.add",
    "ln1.hook_normalized": "attention.output",
    "mlp.hook_pre": "intermediate.dense",
    "mlp.hook_post": "intermediate.act",
    "hook_mlp_out": "output.dense",
    "hook_resid_post": "output.add",
    "ln2.hook_normalized": "output",
    "hook_normalized_resid_post": "output",
}
TRANSFORMER_LENS = {
    "embed.hook_embed": "embeddings.word_embeddings",
    "embed.hook_pos_embed": "embeddings.position_embeddings",
    "embed.hook_token_type_embed": "embeddings.token_type_embeddings",
    "hook_full_embed": "embeddings",
    "blocks.0.hook_resid_pre": "embeddings",
    "blocks.2.hook_resid_pre": "encoder.layer.1.output",
    "pooler.hook_pooler_out": "pooler",
    "nsp_head.hook_nsp_out": "cls.seq_relationship",
    **{f"blocks.1.{name}": f"encoder.layer.1.{tap}" for name, tap in BLOCK_OF_TRANSFORMER_LENS.items()},
}
ALL = {**OUTPUTS_OF_TRANSFORMERS, **MODULES_OF_TRANSFORMERS, **LISTS_CALLED_LAYERS, **TENSORFLOW, **TRANSFORMER_LENS}


@pytest.mark.parametrize(
    "table",
    [OUTPUTS_OF_TRANSFORMERS, MODULES_OF_TRANSFORMERS, LISTS_CALLED_LAYERS, TENSORFLOW, ONNX, TRANSFORMER_LENS],
    ids=["outputs of transformers", "modules of transformers", "layers", "TensorFlow", "ONNX", "TransformerLens"],
)
def test_the_names_of_other_programs(table, names_of):
    names = names_of()
    assert {name: names.canonical(name) for name in table} == table


def test_steps_in_between_have_no_tap(names_of):
    names = names_of()
    assert [name for name in STEPS_IN_BETWEEN_OF_ONNX if names.canonical(name) is not None] == []


def test_every_tap_is_its_own_name_with_and_without_the_prefix(names_of):
    names = names_of()
    for tap in names.known:
        assert names.canonical(tap) == names.canonical(f"bert.{tap}") == names.canonical(f"module.bert.{tap}") == tap


@pytest.mark.parametrize(
    "spelling", ["d {}", "d_{}", "grad.{}", "grad/{}", "grad_{}", "gradients/{}", "gradient.{}", "{}.grad", "{}/grad"]
)
def test_gradients_in_every_spelling(spelling, names_of):
    names = names_of()
    for name, tap in ALL.items():
        assert names.canonical(spelling.format(name)) == f"d {tap}"
    parameters = {
        "bert.encoder.layer.1.output.LayerNorm.gamma": "encoder.layer.1.output.LayerNorm.weight",
        "module.bert.encoder.layer.1.output.LayerNorm.beta": "encoder.layer.1.output.LayerNorm.bias",
        "encoder.layer.1.attention.self.key.bias": "encoder.layer.1.attention.self.key.bias",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    for name, parameter in parameters.items():
        assert names.canonical(spelling.format(name)) == f"d {parameter}"


@pytest.mark.parametrize(
    ("class_name", "name", "tap"),
    [
        ("BertForMaskedLM", "logits", "cls.predictions"),
        ("BertForNextSentencePrediction", "logits", "cls.seq_relationship"),
        ("BertForSequenceClassification", "logits", "classifier"),
        ("BertForSequenceClassification", "loss/BiasAdd:0", "classifier"),
        ("BertForSequenceClassification", "dropout", "classifier.dropout"),
        ("BertForTokenClassification", "logits", "classifier"),
        ("BertForQuestionAnswering", "start_logits", "qa_outputs.start"),
        ("BertForQuestionAnswering", "end_logits", "qa_outputs.end"),
        ("BertModel", "encoder", "encoder.layer.2.output"),
        ("BertModel", "pooler_output", "pooler"),
    ],
)
def test_outputs_of_each_head(class_name, name, tap, names_of):
    assert names_of(class_name).canonical(name) == tap


def test_names_of_one_s_own(names_of):
    names = names_of(
        renamed={"q0": "encoder.layer.0.attention.self.query", "ids": "input_ids", "x1": "hidden_states.1"}
    )
    assert names.canonical("q0") == "encoder.layer.0.attention.self.query"
    assert names.canonical("q0.grad") == "d encoder.layer.0.attention.self.query"
    assert names.canonical("x1") == "encoder.layer.0.output"
    assert names.canonical("ids") == "input_ids"
    assert names.canonical("q1") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "d ",
        "layer",
        "hidden_states.4",
        "hidden_states.",
        "hidden_states",
        "attentions.3",
        "logit",
        "blocks.3.hook_q",
        "encoder.layer.3.output",
        "encoder.layers.3.output",
        "encoder.layer.x.output",
        "bert/encoder/layer_3/output/add",
        "classifier",
        "loss.start",
    ],
)
def test_what_the_model_does_not_have_means_nothing(name, names_of):
    assert names_of().canonical(name) is None


def test_a_near_miss_is_suggested(names_of):
    names = names_of()
    assert names.nearest("bert.encoder.layer.1.atention.self.query") == "encoder.layer.1.attention.self.query"
    assert names.nearest("d bert.encoder.layer.1.atention.output") == "d encoder.layer.1.attention.output"
    assert names.nearest("zzz") is None


def test_outputs_that_are_stacked(names_of):
    names = names_of(renamed={"all_h": "hidden_states", "h1": "hidden_states.1"})
    hidden = ["embeddings", *(f"encoder.layer.{i}.output" for i in range(3))]
    for name in ("hidden_states", "bert/hidden_states:0", "all_h"):
        assert names.stacked(name) == hidden
    assert names.stacked("attentions") == [f"encoder.layer.{i}.attention.self.probs" for i in range(3)]
    assert names.stacked("all_h.grad") == names.stacked("d hidden_states") == [f"d {tap}" for tap in hidden]
    for name in ("hidden_states.1", "h1", "attentions.0", "embeddings", "states"):
        assert names.stacked(name) is None


def test_which_names_of_one_s_own_are_in_a_name(names_of):
    names = names_of(renamed={"q": "x", "x": "hidden_states.1"})
    assert names.own("q") == ["q", "x"]
    assert names.own("q.grad") == names.own("d q") == ["q"]
    assert names.own("x") == names.own("grad/x") == ["x"]
    assert names.own("qq") == names.own("hidden_states.1") == []
