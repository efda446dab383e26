"""The guard for platforms that call it: Django, Celery, HTTP on a socket. Never what a platform has not anyway."""
