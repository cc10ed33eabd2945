"""How good is a prediction? One record per metric; distances in mm on the scan's own grid."""
