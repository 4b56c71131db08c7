"""Model directories and checkpoints: a network and its labels on disk."""
