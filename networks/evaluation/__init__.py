"""Judges of the exported networks: one module for each way of looking at a scan."""
