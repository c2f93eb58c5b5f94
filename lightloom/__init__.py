"""lightloom: neural networks compiled to tile programs for photonic chips, and simulated."""

__version__ = "0.1.0"
