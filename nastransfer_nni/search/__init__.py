"""Searches: a cell is looked for on a source and exported."""

from nastransfer_nni.base.callable_module import make_callable

make_callable(__name__)
