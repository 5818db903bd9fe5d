"""Packages that can be called: `nastransfer_nni.search` is a package and, as `nt.search(...)`, a function."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module that is called as the function of the Python API that has its name.

    Python binds a package to its parent's attribute of that name once it is imported, so that a function of
    the same name would be lost.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function(*args, **options)

    @property
    def _function(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(importlib.import_module("nastransfer_nni.api"), name)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return importlib.import_module, (self.__name__,)


def make_callable(name: str) -> None:
    """Let the module `name`, which is being imported, be called."""
    sys.modules[name].__class__ = CallableModule
