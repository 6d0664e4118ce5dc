"""Model outputs + weak labels -> scalars; an exact, differentiable 0 where nothing counts."""
