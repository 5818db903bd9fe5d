"""Does the cell that an architecture search found on cheap data carry over to the large target?

    import nastransfer_nni as nt

    run = nt.search(source="digits", strategy="darts", epochs=2)
    nt.transfer(arch=run.architecture, target="digits", epochs=2)

Functions have the options of the commands of the same name. Nothing is imported before it is used.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__version__ = "0.2.0"


def _refuse_namesakes() -> None:
    """Refuse to go on where a file or folder of the user hides a package that belongs to this one."""
    for name in ("search_spaces", "strategies"):
        spec = find_spec(name)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else [None]
        found = Path(next((place for place in places if place), "nowhere")).resolve()
        if Path(__file__).resolve().parent.parent not in found.parents:
            message = f"{found} hides the package {name} of nastransfer_nni; rename it, or run elsewhere"
            if sys.argv[0] == "-m" or Path(sys.argv[0]).name == "nastransfer":  # a command, not Python code
                print(f"error: {message}", file=sys.stderr)
                sys.exit(2)
            raise ImportError(message)


_refuse_namesakes()

_CALLABLE_PACKAGES = ("search", "transfer", "evaluate", "export", "report")
_LAZY = {
    "UserError": "search_spaces.errors",
    "RunRecord": "nastransfer_nni.api",
    "load_architecture": "nastransfer_nni.api",
    "load_run": "nastransfer_nni.api",
    "make_proxy": "nastransfer_nni.api",
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
