"""Metrics and benchmark sets: arrays in, result objects out."""
