"""Training of the image-text dual encoder that TGQ-Former keeps frozen."""
