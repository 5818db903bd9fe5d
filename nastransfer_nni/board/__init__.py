"""The `tensorboard` command: TensorBoard over runs, by short names."""
