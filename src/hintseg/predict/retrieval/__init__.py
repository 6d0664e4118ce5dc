"""Labels by the nearest known segments."""
