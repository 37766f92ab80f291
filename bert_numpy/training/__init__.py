"""Training: optimizers, schedules and the Trainer, called as in torch and transformers.

It knows parameters, modules and batches, not BERT.  In the order in which to read it:

- `updates`, `gradients`, `optimizers`, `schedules`: a step
- `arguments`, `state`, `callbacks`, `progress`, `run_log`: what a run is told, and what it tells
- `replicas`: a batch divided among threads
- `generators`, `checkpointing`, `resuming`, `interruption`: nothing is lost
- `evaluation`, `training_run`, `trainer`: the loop
"""

from .arguments import TrainingArguments
from .callbacks import DefaultFlowCallback, EarlyStoppingCallback, TrainerCallback
from .checkpointing import check_checkpoint, get_last_checkpoint
from .gradients import clip_grad_norm_, nonfinite_gradients
from .optimizers import SGD, AdamW, Optimizer, parameter_groups
from .progress import ProgressCallback
from .run_log import read_log
from .schedules import (
    LambdaLR,
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_google_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_scheduler,
)
from .state import EvalPrediction, NonFiniteError, PredictionOutput, TrainerControl, TrainerState, TrainOutput
from .trainer import Trainer

__all__ = [
    "SGD",
    "AdamW",
    "DefaultFlowCallback",
    "EarlyStoppingCallback",
    "EvalPrediction",
    "LambdaLR",
    "NonFiniteError",
    "Optimizer",
    "PredictionOutput",
    "ProgressCallback",
    "TrainOutput",
    "Trainer",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainingArguments",
    "check_checkpoint",
    "clip_grad_norm_",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_google_schedule_with_warmup",
    "get_last_checkpoint",
    "get_linear_schedule_with_warmup",
    "get_scheduler",
    "nonfinite_gradients",
    "parameter_groups",
    "read_log",
]
