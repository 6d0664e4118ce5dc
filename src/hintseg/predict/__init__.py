"""Model and image -> dense prediction."""
