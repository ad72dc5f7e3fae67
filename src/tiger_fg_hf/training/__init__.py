"""How it is learned: the Accelerate loop and its arguments."""
