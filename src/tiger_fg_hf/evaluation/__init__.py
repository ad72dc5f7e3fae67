"""Evaluation: ranking metrics, confidence intervals, grounding, and the IMMR benchmark."""
