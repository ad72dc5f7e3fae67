"""Pictures and catalogs that are made here: drawn products and promotional overlays."""
