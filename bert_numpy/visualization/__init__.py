"""Pictures: of a training run and of what the trained model confuses.

Every function returns a `matplotlib.figure.Figure`; `save_figure` writes it.  matplotlib is imported when the first
picture is drawn.  Read `training.py`.
"""

from .training import plot_confusion_matrix, plot_curves, save_figure

__all__ = ["plot_confusion_matrix", "plot_curves", "save_figure"]
