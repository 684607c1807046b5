"""Priors, and functions that return a `pymc.Model`."""
