"""The catalogue: what is where, what is promised to whom, and what was done. Never what ought to be done."""
