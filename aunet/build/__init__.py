"""Which objects does a configuration stand for? The only place that instantiates them."""
