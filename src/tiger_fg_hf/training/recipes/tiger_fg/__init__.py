"""Training of TIGER-FG."""
