"""How large and how wide is a network? Its cost and its receptive field."""
