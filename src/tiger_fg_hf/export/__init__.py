"""Export checkpoints for other libraries."""
