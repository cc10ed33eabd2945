"""How is a network trained? The task, its hardware, its pace, and the weights from which it starts."""
