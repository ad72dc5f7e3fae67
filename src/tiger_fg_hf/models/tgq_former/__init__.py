"""TGQ-Former: hybrid metadata-anchored and exploratory queries between a frozen dual encoder and a language model."""
