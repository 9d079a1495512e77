"""Faults at random, but from a seed, on the whole embedded server under load."""
