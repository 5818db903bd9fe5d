"""Rankings of cells by cheap evaluations, compared with known accuracies."""

from nastransfer_nni.base.callable_module import make_callable

make_callable(__name__)
