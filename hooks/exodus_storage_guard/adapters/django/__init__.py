"""Django (4.2 and newer): upload handler, middleware, form, storage, the accepting flag, and a check at start.

docs/integration.md has the lines of settings that wire it. Never what another platform could use: that is beside it.
"""
