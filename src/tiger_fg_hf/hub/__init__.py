"""How it is shared: exports with code, model cards."""
