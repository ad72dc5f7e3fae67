"""Benchmarks of `tiger_fg_hf`, run from a checkout."""
