"""What goes to the archive, is looked at again and comes back, and what that takes. Never a platform's answer."""
