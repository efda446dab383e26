"""The doors to nginx: its program, configuration, processes and reload. Never a certificate."""
