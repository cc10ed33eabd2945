"""Files that accompany an exported network. None of them imports aunet: they run where it is not installed."""
