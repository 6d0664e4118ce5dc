"""Photo scenes for the demo: photographed objects on photographed grounds."""
