"""The IMMR benchmark: crops as queries, and cluttered listings as items."""
