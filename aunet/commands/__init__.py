"""The command line: one file per command, read from top to bottom."""
