"""TIGER-FG: text-guided item grounding for image-to-multimodal retrieval (arXiv 2605.18434)."""
