"""Gaussian filters over place and colour, or over any features."""
