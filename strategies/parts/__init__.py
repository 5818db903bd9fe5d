"""Parts of differentiable search, from which `strategies.darts` is composed."""
