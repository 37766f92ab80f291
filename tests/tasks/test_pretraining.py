"""Pre-training as one call: its steps, its figures, its folder, and going on after it was stopped."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from support import randomize

from bert_numpy import BertConfig, BertForPreTraining, BertTokenizer
from bert_numpy.checkpoints import safetensors
from bert_numpy.data.pretraining import PretrainingDataset
from bert_numpy.data.world import generate_documents, world_vocabulary
from bert_numpy.tasks import pretraining, pretraining_evaluation
from bert_numpy.tasks.pretraining import make_tokenizer, make_trainer, pretrain, read_corpus, steps_in
from bert_numpy.tasks.pretraining_evaluation import evaluate_pretrained, evaluate_sequences
from bert_numpy.tasks.pretraining_settings import RECIPES, PretrainingSettings
from bert_numpy.tasks.pretraining_trainer import PretrainingTrainer, stack_trimmed
from bert_numpy.training import TrainerCallback
from bert_numpy.training.run_log import read_log

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_length": 96,
    "batch_size": 8,
    "dropout": 0.1,
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """What is written here need not survive a power cut; a small part of the world is enough."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(pretraining, "draw_curves", lambda folder, say: None)  # slow; `straight` draws them
    monkeypatch.setattr(pretraining_evaluation, "WORLD_DOCUMENTS", 12)
    monkeypatch.setattr(pretraining_evaluation, "WORLD_WINDOWS", 4)


def world_settings(**changes):
    return PretrainingSettings.of("world", **{"documents": 25, "steps": 12, "seed": 3, **SMALL, **changes})


@pytest.fixture
def text(tmp_path):
    """Forty documents of the world, as a text of one's own."""
    path = tmp_path / "my.txt"
    documents = ["\n".join(sentences) for sentences in generate_documents(40, seed=1)]
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def dataset():
    tokenizer = BertTokenizer(world_vocabulary())
    return PretrainingDataset(generate_documents(15, seed=2), tokenizer, 64, seed=1, short_seq_prob=0.5)


@pytest.fixture
def model():
    config = BertConfig(
        vocab_size=502,
        hidden_size=20,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=36,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForPreTraining(config, dtype=np.float64, rng=0)
    randomize(model, np.random.default_rng(1))
    return model


# ---- one step ----


def test_a_step_has_the_loss_and_the_gradients_of_the_whole_model(model, dataset, tmp_path):
    batch = dataset.batch(range(7))
    trainer = PretrainingTrainer(model=model, train_dataset=dataset)
    outputs, cache = model.forward(**batch)
    model.backward(0.5, cache)
    expected = {name: p.grad.copy() for name, p in model.named_parameters()}
    for _, parameter in model.named_parameters():
        parameter.zero_grad()
    assert trainer.training_step(model, batch, 0.5) == pytest.approx(float(outputs.loss), rel=1e-13)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.grad, expected[name], rtol=0, atol=1e-13, err_msg=name)
    assert all(np.abs(gradient).max() > 1e-6 for name, gradient in expected.items() if not name.endswith("key.bias"))


def test_batches_are_cut_to_their_longest_sequence(dataset):
    shortest = np.argsort(dataset.lengths)[:5]
    batch = stack_trimmed(dataset.__getitems__(shortest))
    expected = dataset.batch(shortest)
    assert batch.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(batch[name], values, err_msg=name)
    assert batch["input_ids"].shape[1] == max(dataset.lengths[shortest]) < 64


def test_lengths_are_those_of_the_sequences(dataset):
    assert dataset.lengths.tolist() == [int(dataset[i]["attention_mask"].sum()) for i in range(len(dataset))]


# ---- figures ----


def test_figures_are_those_of_one_sequence_after_the_other(model, dataset):
    """Against the whole model on single sequences, with the formulas written out."""
    losses, found, nsp_losses, right = [], [], [], []
    for i in range(10):
        row = dataset.batch([i])
        outputs = model(**{name: row[name] for name in ("input_ids", "attention_mask", "token_type_ids")})
        for place in np.flatnonzero(row["labels"][0] != -100):
            logits, word = outputs.prediction_logits[0, place], row["labels"][0, place]
            losses.append(math.log(sum(math.exp(x) for x in logits - logits[word])))
            found.append(all(logits[word] >= logits))
        yes, no = outputs.seq_relationship_logits[0]
        label = row["next_sentence_label"][0]
        nsp_losses.append(math.log1p(math.exp(no - yes if label == 0 else yes - no)))
        right.append((yes > no) == (label == 0))
    model.train()
    figures = evaluate_sequences(model, dataset, batch_size=3, num_sequences=10)
    assert model.training
    assert figures["sequences"] == 10
    assert figures["masked_words"] == len(losses)
    assert figures["mlm_loss"] == pytest.approx(np.mean(losses), rel=1e-12)
    assert figures["perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-12)
    assert figures["masked_word_accuracy"] == np.mean(found)
    assert figures["nsp_loss"] == pytest.approx(np.mean(nsp_losses), rel=1e-12)
    assert figures["nsp_accuracy"] == np.mean(right)
    assert 0 < figures["nsp_accuracy"] < 1


def test_a_folder_without_both_heads_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    BertTokenizer(world_vocabulary()).save_pretrained(tmp_path)
    tensors = safetensors.load_file(tmp_path / "model.safetensors", mmap=False)
    for name in ("cls.seq_relationship.weight", "cls.seq_relationship.bias"):
        del tensors[name]
    safetensors.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"not both heads of pre-training: cls.seq_relationship.\w+ is missing"):
        evaluate_pretrained(tmp_path)


# ---- a run ----


class Break(TrainerCallback):
    """Stops a run after a step, as Ctrl-C does or as a kill does."""

    def __init__(self, step, error):
        self.step, self.error = step, error

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise self.error


class Killed(Exception):
    """As if the process had ended."""


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a run of the world that nothing disturbs, and its figures."""
    folder = tmp_path_factory.mktemp("straight") / "bert"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining_evaluation, "WORLD_DOCUMENTS", 12)
        patch.setattr(pretraining_evaluation, "WORLD_WINDOWS", 4)
        figures = pretrain(world_settings(), folder, command="bert-numpy pretrain --corpus world")
    return folder, figures


def test_the_folder_of_a_run_is_a_model_with_its_card(straight):
    folder, figures = straight
    assert {path.name for path in folder.iterdir()} >= {
        "README.md",
        "config.json",
        "curves.png",
        "model.safetensors",
        "pretraining.json",
        "tokenizer_config.json",
        "train_log.jsonl",
        "vocab.txt",
    }
    assert not list(folder.glob("checkpoint-*"))
    assert (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1] == world_vocabulary()
    assert evaluate_pretrained(folder, max_length=96) == figures
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "bert-numpy pretrain --corpus world" in card
    assert f"{figures['cross_entropy']:.4f}" in card
    assert "12 steps" in card
    steps = [record["step"] for record in read_log(folder) if "loss" in record]
    assert steps == list(range(1, 13))
    assert sum("eval_mlm_loss" in record for record in read_log(folder)) == 6  # each second step


@pytest.mark.parametrize(("step", "error"), [(1, Killed), (5, Killed), (7, KeyboardInterrupt)])
def test_a_run_that_was_stopped_goes_on_with_the_same_bits(step, error, straight, tmp_path):
    with pytest.raises(error):
        pretrain(world_settings(), tmp_path, callbacks=[Break(step, error)])
    assert not (tmp_path / "README.md").exists()
    figures = pretrain(None, tmp_path, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (straight[0] / "model.safetensors").read_bytes()
    assert figures == straight[1]
    with pytest.raises(ValueError, match=r"is finished; train it further with --model"):
        pretrain(None, tmp_path, resume=True)


def test_every_epoch_has_its_own_masks_in_training(tmp_path):
    seen = []

    class Watch(TrainerCallback):
        def on_epoch_begin(self, args, state, control, train_dataset=None, **kwargs):
            seen.append(train_dataset.batch([0])["labels"].tobytes())

    pretrain(world_settings(documents=4, steps=None, epochs=3), tmp_path, callbacks=[Watch()])
    assert len(set(seen)) == len(seen) == 3


def test_a_text_is_learnt_and_some_of_it_held_out(text, tmp_path):
    settings = PretrainingSettings.of((str(text),), **{**SMALL, "held_out": 0.3, "vocab_size": 300, "steps": 3})
    figures = pretrain(settings, tmp_path / "bert")
    documents = text.read_text(encoding="utf-8").strip().split("\n\n")
    held_out = (tmp_path / "bert" / "held_out.txt").read_text(encoding="utf-8").strip().split("\n\n")
    training = ["\n".join(document) for document in read_corpus(settings).training]
    assert sorted(held_out + training) == sorted(documents)
    assert 2 < len(held_out) < 25
    assert figures["corpus"] == "held_out.txt, documents held out of training"
    assert evaluate_pretrained(tmp_path / "bert", max_length=96) == figures
    assert len(BertTokenizer.from_pretrained(tmp_path / "bert")) == 300
    assert evaluate_pretrained(tmp_path / "bert", [text])["corpus"] == "my.txt"


def test_of_a_short_text_nothing_is_held_out(tmp_path):
    (tmp_path / "short.txt").write_text("a b .\nc d .\n\na c .\nb d .\n", encoding="utf-8")
    settings = PretrainingSettings.of((str(tmp_path / "short.txt"),), **{**SMALL, "steps": 2, "held_out": 0.5})
    said = []
    figures = pretrain(settings, tmp_path / "bert", say=said.append)
    assert any("they prove nothing" in line for line in said)
    assert "short.txt, which it was trained on" in figures["corpus"]
    assert not (tmp_path / "bert" / "held_out.txt").exists()


def test_weights_are_stored_and_measured_in_the_dtype_asked_for(straight, tmp_path):
    figures = pretrain(world_settings(dtype="bfloat16"), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"
    assert (tmp_path / "model.safetensors").stat().st_size < 0.6 * (straight[0] / "model.safetensors").stat().st_size
    assert figures["mlm_loss"] == pytest.approx(straight[1]["mlm_loss"], rel=1e-2)
    assert figures["mlm_loss"] != straight[1]["mlm_loss"]


def test_a_run_may_go_on_from_a_model(straight, tmp_path):
    settings = PretrainingSettings.of("world", model=str(straight[0]), documents=25, steps=2, max_length=96)
    pretrain(settings, tmp_path / "more")
    config = json.loads((tmp_path / "more" / "config.json").read_text(encoding="utf-8"))
    assert config["hidden_size"] == 16
    before, after = (safetensors.load_file(f / "model.safetensors") for f in (straight[0], tmp_path / "more"))
    change = [np.abs(after[name] - before[name]).max() for name in before]
    assert 0 < max(change) < 1e-3  # two steps of warm-up away
    long = PretrainingSettings.of("world", model=str(straight[0]), steps=1, max_length=97)
    with pytest.raises(ValueError, match="max_length 97 exceeds the 96 positions of"):
        pretrain(long, tmp_path / "long")


def test_minutes_become_steps_that_the_record_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(pretraining, "steps_in", lambda trainer, seconds: round(seconds / 10))
    with pytest.raises(Killed):
        pretrain(world_settings(steps=None, minutes=1.5), tmp_path, callbacks=[Break(9, Killed)])
    assert json.loads((tmp_path / "pretraining.json").read_text(encoding="utf-8"))["settings"]["steps"] == 9
    pretrain(None, tmp_path, resume=True)
    assert [r["learning_rate"] for r in read_log(tmp_path) if "loss" in r][-1] >= 0
    assert read_log(tmp_path)[-1]["step"] == 9


def test_measuring_leaves_the_model_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "MEASURED_SECONDS", 0.0)
    settings = world_settings()
    corpus = read_corpus(settings)
    tokenizer = make_tokenizer(settings, corpus)
    model = pretraining.make_model(settings, tokenizer)
    trainer = make_trainer(settings, tmp_path, model, tokenizer, corpus)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    few, many = steps_in(trainer, 1.0), steps_in(trainer, 100.0)
    assert few >= 1
    assert 20 < many / few < 500  # a hundred times as long, measured twice
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.data, before[name], err_msg=name)
        assert parameter.grad is None


# ---- settings and mistakes ----


def test_recipes_hold_the_defaults_and_what_is_given_takes_their_place():
    world = PretrainingSettings.of("world", seed=5, hidden_size=64)
    assert world.is_world
    assert (world.hidden_size, world.intermediate_size, world.seed) == (64, 256, 5)
    assert world.learning_rate == RECIPES["world"]["learning_rate"]
    text = PretrainingSettings.of(("a.txt",), size="mini", minutes=3)
    assert (text.num_hidden_layers, text.hidden_size, text.steps, text.minutes) == (4, 256, None, 3)
    assert PretrainingSettings.from_dict(json.loads(json.dumps(text.to_dict()))) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"minutes": 0.0}, "minutes is 0.0; it must be a number above 0"),
        ({"held_out": 1.0}, "held_out is 1.0; it must be a fraction from 0 and below 1"),
        ({"size": "huge"}, "size is 'huge'; it can be tiny, mini, small, medium, base, large"),
    ],
)
def test_a_setting_that_cannot_be_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        PretrainingSettings.of(("a.txt",), **changes)


def test_a_folder_that_is_in_use_is_refused(straight, tmp_path):
    with pytest.raises(ValueError, match="holds a run already; go on with --resume, or choose another --output"):
        pretrain(world_settings(), straight[0])
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds a model already \(config.json\); choose another"):
        pretrain(world_settings(), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        pretrain(world_settings(), tmp_path / "file")
    assert (tmp_path / "config.json").read_text(encoding="utf-8") == "{}"


def test_a_run_that_is_not_there_or_damaged_cannot_be_resumed(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        pretrain(None, tmp_path, resume=True)
    (tmp_path / "pretraining.json").write_text('{"settings": {', encoding="utf-8")
    with pytest.raises(ValueError, match=r"pretraining.json is damaged"):
        pretrain(None, tmp_path, resume=True)


def test_a_model_too_short_for_the_world_is_refused_before_it_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"max_length 20 is too short for the small world; use \d\d or more"):
        pretrain(world_settings(max_length=20), tmp_path / "bert")
    assert not (tmp_path / "bert").exists()


def test_nothing_is_written_when_the_text_cannot_be_used(tmp_path):
    path = Path(tmp_path, "one.txt")
    path.write_text("only one document .\nof two sentences .\n", encoding="utf-8")
    with pytest.raises(ValueError, match="one document only"):
        pretrain(PretrainingSettings.of((str(path),), **SMALL), tmp_path / "bert")
    assert not (tmp_path / "bert").exists()
