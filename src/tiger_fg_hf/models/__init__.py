"""Networks, their configurations and processors; imports nothing else from this package."""
