"""How good it is: metrics, confidence intervals, retrieval evaluation."""
