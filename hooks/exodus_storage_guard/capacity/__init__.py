"""How full the store is, as measured, and what is on its way back. Never what to do about it."""
