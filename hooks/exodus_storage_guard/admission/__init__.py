"""May this upload come in: reservations, and whom to ask for room. Never a store; it needs the state's driver alone."""
