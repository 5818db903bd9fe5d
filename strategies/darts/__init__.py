"""Differentiable search: DARTS (Liu, Simonyan, Yang, ICLR 2019), and the parts that other methods change.

`options` has its options and `checks` what does not go together. `search` is the strategy and its epoch,
`steps` has the steps of alphas and weights, `gradients` those of first and second order. `mixture` turns
alphas into weights of the candidates, and `stages` changes supernet, candidates and alphas from stage to
stage. `parts` has what an option chooses: relaxations, regularizations, perturbations, freezing, projection.
"""
