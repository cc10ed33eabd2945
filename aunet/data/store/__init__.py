"""Preprocessed cases on disk."""
