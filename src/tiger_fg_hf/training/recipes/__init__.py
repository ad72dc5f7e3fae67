"""One training recipe per method: its arguments, what is built from them, and the run."""
