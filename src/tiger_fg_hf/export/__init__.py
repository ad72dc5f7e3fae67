"""Exports of checkpoints for other libraries."""
