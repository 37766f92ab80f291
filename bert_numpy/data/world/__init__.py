"""A corpus whose truth is known: a small world in English, and the exact probability of every word in it.

In the order in which to read them:

- `tables`: the facts, such as capitals, sums, opposites and pronouns
- `stories`: the documents that can be told about them
- `corpus`: documents and windows drawn at random, files, the vocabulary
- `truth`: the distribution of a masked word given all others, entropy, and the best possible next-sentence accuracy
- `evaluation`: how far a model is from that
"""

from .corpus import Window, generate_documents, sample_windows, world_vocabulary, write_corpus
from .evaluation import evaluate_world
from .truth import WindowTruth, WorldStatistics, measure, true_distribution

__all__ = [
    "Window",
    "WindowTruth",
    "WorldStatistics",
    "evaluate_world",
    "generate_documents",
    "measure",
    "sample_windows",
    "true_distribution",
    "world_vocabulary",
    "write_corpus",
]
