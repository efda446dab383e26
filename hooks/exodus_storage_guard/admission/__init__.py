"""May this upload come in: reservations, and whom to ask for room. Never a store, and only the standard library."""
