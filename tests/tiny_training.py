"""A task that trains in milliseconds: which of two words stands in the text; for the tests of the trainer.

Run as a program, `python tiny_training.py FOLDER EPOCHS`, it trains with dropout on, saves every third step and resumes
if there is something to resume from; it makes the file `stepping` when steps begin, and the folder `final` at the end.
"""

import sys
from pathlib import Path

import numpy as np

from bert_numpy import BertConfig, BertForSequenceClassification
from bert_numpy.training.arguments import TrainingArguments
from bert_numpy.training.callbacks import TrainerCallback
from bert_numpy.training.checkpointing import get_last_checkpoint
from bert_numpy.training.trainer import Trainer


class Examples:
    """A data set as articles write it: arrays by index, of two lengths."""

    def __init__(self, count=21, length=7):
        rng = np.random.default_rng(5)
        self.labels = rng.integers(0, 2, count)
        self.input_ids = rng.integers(5, 30, (count, length))
        self.input_ids[:, 3] = np.where(self.labels, 3, 4)
        self.attention_mask = np.ones((count, length), np.int64)
        self.attention_mask[::3, 5:] = 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {
            "input_ids": self.input_ids[i],
            "attention_mask": self.attention_mask[i],
            "labels": self.labels[i],
            "remark": "not for the model",
        }


def make_model(dropout=0.1, dtype=np.float32, seed=3):
    config = BertConfig(
        vocab_size=30,
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=1,
        intermediate_size=20,
        max_position_embeddings=9,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return BertForSequenceClassification(config, dtype=dtype, rng=seed)


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def make_trainer(folder, model=None, callbacks=(), **changes):
    arguments = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 4,
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "weight_decay": 0.1,
        "logging_steps": 2,
        "save_steps": 3,
        "eval_strategy": "epoch",
        "group_by_length": True,
        **changes,
    }
    return Trainer(
        model=make_model() if model is None else model,
        args=TrainingArguments(str(folder), **arguments),
        train_dataset=Examples(),
        eval_dataset=Examples(6),
        compute_metrics=accuracy,
        callbacks=list(callbacks),
    )


def weights(model):
    """The bits of all weights."""
    return {name: parameter.data.tobytes() for name, parameter in model.named_parameters()}


class SayWhenStepping(TrainerCallback):
    """Tells whoever wants to interrupt the training that it has come so far."""

    def on_step_end(self, args, state, control, **kwargs):
        Path(args.output_dir, "stepping").touch()


if __name__ == "__main__":
    output_dir, epochs = sys.argv[1:]
    trainer = make_trainer(
        output_dir, callbacks=[SayWhenStepping()], num_train_epochs=int(epochs), save_total_limit=2, eval_strategy="no"
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(output_dir))
    trainer.save_model(Path(output_dir) / "final")
