"""Objects as files of a folder: a store or an archive. Never a network."""
