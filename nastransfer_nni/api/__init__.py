"""The Python API; `import nastransfer_nni as nt` has all of it, imported when it is used."""

from nastransfer_nni.api.functions import (
    evaluate,
    export,
    load_architecture,
    load_run,
    make_proxy,
    measure_latency,
    plan_study,
    rank,
    report,
    results,
    run_study,
    runs,
    score,
    search,
    transfer,
)
from nastransfer_nni.api.record import RunRecord

__all__ = [
    "RunRecord",
    "evaluate",
    "export",
    "load_architecture",
    "load_run",
    "make_proxy",
    "measure_latency",
    "plan_study",
    "rank",
    "report",
    "results",
    "run_study",
    "runs",
    "score",
    "search",
    "transfer",
]
