"""Is it right?  Four ways to find out, from the nearest to the widest:

- `gradcheck.py`: a backward against finite differences of its forward;
- `arrays.py`: two sets of named arrays, by max|d| / RMS;
- `goldens.py`, `published.py`: this package against stored numbers of the reference library, and of others;
- `comparison.py`: a port of BERT against this package, tap by tap, with the name of its mistake.

To read the last, follow `steps.py`, `operations.py`, `evaluation.py`, `precision.py`, `noise.py`, `dumps.py`,
`evidence.py`, `comparison.py`, `changes.py`, `divergences.py`, `diagnosis.py`, `report.py`.
"""

from .arrays import TOLERANCES, ArrayReport, ArrayTap, compare_arrays
from .comparison import compare
from .gradcheck import directional_errors, numeric_gradient, relative_error
from .report import Report

__all__ = [
    "TOLERANCES",
    "ArrayReport",
    "ArrayTap",
    "Report",
    "compare",
    "compare_arrays",
    "directional_errors",
    "numeric_gradient",
    "relative_error",
]
