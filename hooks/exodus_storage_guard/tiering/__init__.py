"""What goes to the archive, is looked at again and comes back: stories that move objects. Never an admission."""
