"""Pictures made by code, independent of the rest of the package.

`drawn` is a catalog of drawn products, and `overlays` draws promotions. Both, and the pictures that `data` composes,
share random streams, shapes, backdrops, compositing and JPEG compression.
"""
