"""From pictures and text to batches: catalog schema, drawn catalog, query synthesis, collator."""
