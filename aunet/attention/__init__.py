"""Where does the network attend? Coefficients of every epoch: recorded, measured, kept and drawn."""
