"""What the networks are; imports nothing else of this package."""
