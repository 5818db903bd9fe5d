"""Scores of untrained networks."""

from nastransfer_nni.base.callable_module import make_callable

make_callable(__name__)
