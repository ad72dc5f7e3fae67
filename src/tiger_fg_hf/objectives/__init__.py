"""What is learned: one loss per file, and the Task that holds them."""
