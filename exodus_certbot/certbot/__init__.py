"""The doors to certbot: its lineages, renewal files, lock, hooks and timers. Never nginx or certbot's own modules."""
