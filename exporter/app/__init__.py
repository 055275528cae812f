"""Wire the modules together: the composition root."""
