"""The run that others are compared with."""

import os

import pytest
from interrupted_runs import outcome
from tiny_training import make_trainer


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What is written here need not survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """The outcome of the run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("straight")
    trainer = make_trainer(folder)
    trainer.train()
    return outcome(trainer, folder)
