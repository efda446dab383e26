"""Stores of objects; each serves both roles, store and archive."""
