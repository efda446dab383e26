"""A world far worse than ours, in which the whole guard is played by a seed: docs/reliability.md."""
