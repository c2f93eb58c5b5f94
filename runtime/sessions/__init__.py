"""A device reserved over many runs."""
