"""Training: losses, data, optimisation, the loop."""
