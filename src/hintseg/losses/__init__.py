"""Model outputs + weak labels -> scalars; each is an exact, differentiable 0 where nothing counts."""
