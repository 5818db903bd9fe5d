"""The search-time cell as one autograd function over loops that are compiled for this machine's CPU.

`layout` says what lies where, `forward` and `backward` compute, `cell` makes an autograd function of the two,
and `kernels` compiles and calls the loops of kernels.cpp.
"""
