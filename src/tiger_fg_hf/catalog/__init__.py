"""What a shop does with it: encode a catalog, index it, search it."""
