"""The IMMR benchmark: image queries against cluttered listings."""
