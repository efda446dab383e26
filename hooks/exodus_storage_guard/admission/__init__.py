"""May this upload come in: reservations, and whom to ask for room. Never a store; the state's driver is all it needs."""
