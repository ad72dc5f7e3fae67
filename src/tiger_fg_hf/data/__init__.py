"""From catalog records to training batches: query synthesis, mosaics, listings, pair datasets and collators."""
