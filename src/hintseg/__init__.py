"""hintseg: label every pixel from a few cheap hints."""
