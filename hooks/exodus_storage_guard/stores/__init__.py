"""Where objects are: one folder a kind, each for both roles, store and archive. Never which of them is which."""
