"""The separable convolutions of a search-time cell on a GPU: Triton kernels, and the pass through them."""
