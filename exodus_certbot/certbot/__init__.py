"""The doors to certbot: lineages, renewal files, lock, hooks, timers. Only `as_certbot` imports it, none `nginx/`."""
