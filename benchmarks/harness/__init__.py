"""What every benchmark shares: folders, processes, seeds, results and tables."""
