"""Training: optimizers and schedules, called as in torch and transformers.

It knows parameters and modules, not BERT.  Read `updates.py`, `gradients.py`, `optimizers.py`, `schedules.py`.
"""

from .gradients import clip_grad_norm_, nonfinite_gradients
from .optimizers import SGD, AdamW, Optimizer, parameter_groups
from .schedules import (
    LambdaLR,
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_google_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_scheduler,
)

__all__ = [
    "SGD",
    "AdamW",
    "LambdaLR",
    "Optimizer",
    "clip_grad_norm_",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_google_schedule_with_warmup",
    "get_linear_schedule_with_warmup",
    "get_scheduler",
    "nonfinite_gradients",
    "parameter_groups",
]
