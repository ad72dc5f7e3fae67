"""Catalogs: open, check, encode and search them."""
