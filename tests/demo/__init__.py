"""Stories that a person watches, and code checks."""
