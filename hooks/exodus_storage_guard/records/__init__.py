"""The door to the platform's own database, which is only read. Never the guard's state."""
