"""Published methods as presets: `darts` with a method's parts and its published hyper-parameters.

Each is a file of its own: a subclass of `DartsOptions` with `published`, the options that make the method,
and `search`, the options of the search that belong to it. A search uses both as defaults.
"""

from __future__ import annotations

PRESETS = (
    ("darts+", "darts_plus:DartsPlus", "darts that stops at two skips in the normal cell"),
    ("pc-darts", "pc_darts:PcDarts", "darts on a quarter of the channels, with weights of edges"),
    ("p-darts", "p_darts:PDarts", "three stages: deeper supernets, fewer operations, skips dropped out"),
    ("snas", "snas:Snas", "Gumbel-softmax samples; alphas and weights learn from the same loss"),
    ("gdas", "gdas:Gdas", "one sampled operation an edge, with a straight-through gradient"),
    ("drnas", "drnas:DrNas", "Dirichlet-distributed mixtures, wider and with fewer operations in time"),
    ("fair-darts", "fair_darts:FairDarts", "sigmoids that do not compete, driven to 0 and 1"),
    ("beta-darts", "beta_darts:BetaDarts", "darts with a growing penalty on large alphas"),
    ("sdarts-rs", "sdarts:SdartsRs", "weights trained under randomly perturbed mixtures"),
    ("sdarts-adv", "sdarts:SdartsAdv", "weights trained under adversarially perturbed mixtures"),
    ("oles", "oles:Oles", "operations are frozen once their gradients on both splits disagree"),
    ("darts-pt", "darts_pt:DartsPt", "darts, then the operations whose absence costs most accuracy"),
)
"""Name, class of the options, and what it does in one line."""
