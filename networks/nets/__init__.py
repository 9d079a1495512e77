"""The networks of the checks, from shared parts."""
