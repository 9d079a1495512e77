"""Engines for TensorRT, made of the networks of a model repository: ``onescan models compile``."""
