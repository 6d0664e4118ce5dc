"""Recipes of papers at full scale: a method, its published settings, data, and what came of it."""
