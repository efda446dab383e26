"""The doors to nginx: its program, configuration, processes and reload. Never certificates, nor a decision on them."""
