"""Pictures: of a model's inputs, embeddings and attention, of the shapes in a layer, of gradients and their check, of
training runs, of what a trained model confuses, of the errors of a port.

Every function returns a `matplotlib.figure.Figure`, which Jupyter shows where it ends a cell; `save_figure` writes it.
matplotlib is imported when the first picture is drawn.  Read `canvas.py`, then any of the others.
"""

from .attention import draw_attention
from .canvas import new_figure, png_bytes, save_figure
from .embeddings import draw_embedding_map
from .gradients import draw_gradient_check
from .losses import draw_checked_losses, draw_losses
from .parity import plot_errors
from .probes import draw_probes
from .shapes import draw_layer_shapes, record_shapes
from .tokens import draw_inputs
from .training import plot_confusion_matrix, plot_curves

__all__ = [
    "draw_attention",
    "draw_checked_losses",
    "draw_embedding_map",
    "draw_gradient_check",
    "draw_inputs",
    "draw_layer_shapes",
    "draw_losses",
    "draw_probes",
    "new_figure",
    "plot_confusion_matrix",
    "plot_curves",
    "plot_errors",
    "png_bytes",
    "record_shapes",
    "save_figure",
]
