"""How is a run configured? Its schema, composition, checks and trusted targets."""
