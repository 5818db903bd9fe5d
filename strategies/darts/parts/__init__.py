"""Parts of differentiable search that an option chooses: one file for each option, or method."""
