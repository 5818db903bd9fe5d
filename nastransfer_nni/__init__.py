"""Does the cell that an architecture search found on cheap data carry over to the large target?

    import nastransfer_nni as nt

    run = nt.search(source="digits", strategy="darts", epochs=2)
    nt.transfer(arch=run.architecture, target="digits", epochs=2)

Functions have the options of the commands of the same name. Nothing is imported before it is used.
"""

from importlib import import_module
from typing import Any

from nastransfer_nni.base import start

__version__ = "0.2.0"

start.prepare()

_CALLABLE_PACKAGES = ("search", "transfer", "evaluate", "export", "report", "score", "rank")
_LAZY = {
    "UserError": "search_spaces.errors",
    "RunRecord": "nastransfer_nni.api",
    "load_architecture": "nastransfer_nni.api",
    "load_run": "nastransfer_nni.api",
    "make_proxy": "nastransfer_nni.api",
    "measure_latency": "nastransfer_nni.api",
    "plan_study": "nastransfer_nni.api",
    "results": "nastransfer_nni.api",
    "run_study": "nastransfer_nni.api",
    "runs": "nastransfer_nni.api",
}

__all__ = [*_CALLABLE_PACKAGES, *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _CALLABLE_PACKAGES:
        return import_module(f"nastransfer_nni.{name}")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nastransfer_nni' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
