"""How fast is it?  This package against the bare matrix products, and against transformers and torch.

Each library runs in a process of its own, with the same number of threads, the same weights and the same inputs.  The
two take turns, so that a slow spell of the machine meets both; before anything is timed their outputs are compared.

    cases.py               what is measured
    workload.py            the ids, sentences and texts that it is measured on
    measures.py            medians, spreads and ratios
    serving.py             what every worker does: wait for a request, carry it out, answer
    floor.py               the bare matrix products, the physical floor
    worker.py              this package's process
    reference_worker.py    the reference's process, the only file here that imports torch; it is run, never imported
    processes.py           starting workers, asking them, ending them
    running.py             the turns: `run_benchmarks`
    report.py, picture.py  table, JSON and bar chart

Read next: `running.py`, which uses all of them.
"""

from .cases import CASES, Case, select_cases
from .running import Report, Settings, run_benchmarks

__all__ = ["CASES", "Case", "Report", "Settings", "run_benchmarks", "select_cases"]
