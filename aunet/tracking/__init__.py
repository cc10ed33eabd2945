"""Trackers, which show a run beside its own folder: one file each, and a guard so that none of them stops a run."""
