"""TIGER-FG: text-guided item grounding for image-to-multimodal retrieval (arXiv 2605.18434)."""

# The Auto classes first: were they imported from within one of this folder's modules, registration would find that
# module half made.
from transformers.models.auto import configuration_auto as _configuration_auto  # noqa: F401
from transformers.models.auto import modeling_auto as _modeling_auto  # noqa: F401
