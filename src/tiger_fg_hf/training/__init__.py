"""Training: the Accelerate loop, what it is built from, and one recipe per method."""
