"""Transfers: the network of a cell is trained on a target, from scratch."""

from nastransfer_nni.base.callable_module import make_callable

make_callable(__name__)
