"""The way from a command to a finished run."""
