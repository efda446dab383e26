"""The command `exodus-storage-guard`: arguments in, stories called, outcome printed. Never a store touched."""
