"""Loss recovery against hand-computed numbers and plain models."""
