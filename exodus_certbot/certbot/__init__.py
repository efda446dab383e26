"""The doors to certbot: lineages, renewal files, lock, hooks, timers. Never an import of certbot, or of `nginx/`."""
