"""The command `exodus-storage-guard`: arguments in, one story called, outcome printed. Never a decision or a door."""
