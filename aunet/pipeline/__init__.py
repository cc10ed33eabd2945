"""How does a command become a finished run?"""
