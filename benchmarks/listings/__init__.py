"""The listings benchmark: TGQ-Former and other connectors under promotional overlays."""
