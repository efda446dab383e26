"""Where objects are: a folder a kind, behind one contract. Never what is archived, and when."""
