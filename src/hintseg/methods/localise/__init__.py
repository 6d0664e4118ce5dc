"""Seeds for classes that a hint names but does not show."""
