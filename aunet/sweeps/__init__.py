"""Many runs from one command: the jobs of a sweep and of a search, on this machine or on a cluster."""
