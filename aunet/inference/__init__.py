"""How is a whole scan predicted? Windows, their stitching, and the way back to the scan's own grid."""
