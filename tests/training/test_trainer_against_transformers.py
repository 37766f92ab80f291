"""The same recipe in transformers: its own Trainer where it can run, a loop in torch where that does something else."""

import numpy as np
import pytest
from tiny_training import Examples, make_model, make_trainer

from bert_numpy.training.run_log import read_log

pytestmark = pytest.mark.reference

RECIPE = {
    "per_device_train_batch_size": 4,
    "num_train_epochs": 3,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "max_grad_norm": 0.2,
    "logging_steps": 1,
    "train_sampling_strategy": "sequential",
    "save_strategy": "no",
}


@pytest.fixture
def pair(tmp_path):
    """The same weights, dropout 0 and float64, in both libraries."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    ours = make_model(dropout=0, dtype=np.float64)
    ours.save_pretrained(tmp_path / "model")
    theirs = transformers.BertForSequenceClassification.from_pretrained(
        tmp_path / "model", dtype=torch.float64, attn_implementation="eager"
    )
    return ours, theirs


class Tensors:
    """The same examples for torch."""

    def __init__(self):
        self.examples = Examples()

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        import torch

        return {name: torch.as_tensor(value) for name, value in self.examples[i].items() if name != "remark"}


def trained_here(model, folder, **changes):
    trainer = make_trainer(folder, model, **{**RECIPE, "group_by_length": False, "eval_strategy": "no", **changes})
    trainer.train()
    return trainer, [record for record in read_log(folder) if "loss" in record]


def assert_same_weights(ours, theirs):
    expected = {name: parameter.detach().numpy() for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        scale = np.sqrt(np.mean(expected[name] ** 2))
        worst = np.abs(parameter.data - expected[name]).max()
        assert worst <= (1e-3 if name.endswith("key.bias") else 1e-9 * scale), name  # the gradient of it is noise


def test_against_the_trainer_of_transformers(pair, tmp_path):
    pytest.importorskip("accelerate")
    import transformers

    ours, theirs = pair
    args = transformers.TrainingArguments(
        str(tmp_path / "theirs"), **RECIPE, optim="adamw_torch", use_cpu=True, report_to="none", disable_tqdm=True
    )
    reference = transformers.Trainer(theirs, args, train_dataset=Tensors(), eval_dataset=Tensors())
    output = reference.train()
    trainer, log = trained_here(ours, tmp_path / "ours", gradient_accumulation_steps=1)
    expected = [record for record in reference.state.log_history if "loss" in record]
    for name, tolerance in (("loss", 1e-6), ("grad_norm", 1e-6), ("learning_rate", 1e-12), ("epoch", 1e-12)):
        found = [record[name] for record in log]
        assert found == pytest.approx([record[name] for record in expected], rel=tolerance, abs=1e-12), name
    assert trainer.state.global_step == output.global_step
    assert_same_weights(ours, theirs)
    mine, other = trainer.evaluate(Examples()), reference.evaluate()
    assert mine["eval_loss"] == pytest.approx(other["eval_loss"], rel=1e-6)  # theirs is computed in float32
    np.testing.assert_allclose(
        trainer.predict(Examples()).predictions, reference.predict(Tensors()).predictions, rtol=1e-8, atol=1e-9
    )


def test_accumulation_against_a_loop_in_torch(pair, tmp_path):
    import torch
    import transformers

    ours, theirs = pair
    dataset, k, total = Tensors(), 4, 6
    exempt = [p for name, p in theirs.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for p in theirs.parameters() if not any(p is other for other in exempt)]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": exempt, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, 2, total)
    starts, losses = list(range(0, 21, 4)), []
    theirs.train()
    for _ in range(3):
        for first in range(0, len(starts), k):
            part = starts[first : first + k]
            losses.append(0.0)
            for start in part:
                rows = [dataset[i] for i in range(start, min(start + 4, 21))]
                loss = theirs(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]}).loss / len(part)
                loss.backward()
                losses[-1] += loss.item()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.2)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    _, log = trained_here(ours, tmp_path / "ours", gradient_accumulation_steps=k)
    assert [record["loss"] for record in log] == pytest.approx(losses, rel=1e-9)
    assert_same_weights(ours, theirs)
