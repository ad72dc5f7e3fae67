"""How each method is trained: its arguments, what is built of them, and the run."""
