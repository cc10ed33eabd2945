"""Patches of the training: planned, drawn from stored cases, and augmented."""
