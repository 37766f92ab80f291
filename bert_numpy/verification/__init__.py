"""Is it right?  Finite differences (gradcheck), comparison with a reference (parity), stored numbers (goldens)."""

from .gradcheck import directional_errors, numeric_gradient, relative_error
from .parity import TOLERANCES, Report, Tap, compare

__all__ = [
    "TOLERANCES",
    "Report",
    "Tap",
    "compare",
    "directional_errors",
    "numeric_gradient",
    "relative_error",
]
