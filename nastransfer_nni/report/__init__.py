"""Reports on studies: statistics, tables, figures and a page, made from results alone."""

from nastransfer_nni.base.callable_module import make_callable

make_callable(__name__)
