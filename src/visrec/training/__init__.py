"""Training of pairwise models: sampling, the loss, the loop, checkpoints."""
