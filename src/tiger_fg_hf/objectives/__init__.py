"""Training objectives: one loss per file, and one student and one task per method."""
