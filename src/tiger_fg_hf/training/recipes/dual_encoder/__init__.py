"""Training of the dual encoder that TGQ-Former keeps frozen."""
