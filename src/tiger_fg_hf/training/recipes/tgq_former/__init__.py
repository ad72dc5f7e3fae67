"""Training of TGQ-Former."""
