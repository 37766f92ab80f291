"""Stopping a run of `tiny_training` at a chosen moment, and comparing all that two runs leave behind."""

import numpy as np
from tiny_training import weights

from bert_numpy.training.callbacks import TrainerCallback
from bert_numpy.training.run_log import read_log


class Broken(Exception):
    """What the tests raise in the midst of a run."""


class At(TrainerCallback):
    """Does something when an event comes at a step, once."""

    def __init__(self, event, step, action):
        def method(args, state, control, **kwargs):
            if state.global_step == step and not self.done:
                self.done = True
                action()

        self.done = False
        setattr(self, event, method)


def breaking(event, step, error=Broken):
    def action():
        raise error

    return At(event, step, action)


def outcome(trainer, folder):
    """Everything that a run leaves behind, except for times."""
    timed = ("runtime", "per_second")

    def timeless(records):
        return [{k: v for k, v in r.items() if not any(t in k for t in timed)} for r in records]

    optimizer = {
        index: {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in entry.items()}
        for index, entry in trainer.optimizer.state_dict()["state"].items()
    }
    return {
        "weights": weights(trainer.model),
        "optimizer": optimizer,
        "rates": trainer.lr_scheduler.get_last_lr(),
        "dropout": trainer.model.rng.bit_generator.state,
        "history": timeless(trainer.state.log_history),
        "log": timeless(read_log(folder)),
        "step": (trainer.state.global_step, trainer.state.epoch, trainer.state.num_input_tokens_seen),
        "best": (trainer.state.best_metric, trainer.state.best_global_step),
    }


def assert_same(trainer, folder, expected):
    found = outcome(trainer, folder)
    for name, value in expected.items():
        assert found[name] == value, name
