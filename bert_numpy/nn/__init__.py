"""Neural-network building blocks, ignorant of BERT: special <- functional <- layers; init and module beside them."""

from . import functional, special
from .init import truncated_normal
from .layers import ACTIVATIONS, Activation, Dropout, Embedding, LayerNorm, Linear
from .module import Module, Parameter

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "functional",
    "special",
    "truncated_normal",
]
