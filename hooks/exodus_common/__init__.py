"""Hold what the three Exodus packages need once; import the standard library only."""
