"""Will a training work? Short trials before it: overfitting, learning rate, time profile."""
