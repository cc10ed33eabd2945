"""How is a whole scan predicted? Sliding window, the scan's own grid, and the files of label maps."""
