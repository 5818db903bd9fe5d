"""Training of final networks: protocols, the one loop, evaluation, checkpoints, several processes."""
