"""A small platform as Exodus is one, wired to the guard by the lines of docs/integration.md; its folder is its world.

`EXAMPLE_FOLDER` has `example.json` (what the operator sets), the database, the messages and the results.
"""
