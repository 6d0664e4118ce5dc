"""Drawings -> weak labels: read them, draw them as pixels, or simulate them from a mask."""
