"""Where is a run written? Its folder, record, state and lock, and the processes that share it."""
