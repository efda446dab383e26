"""The command `exodus-certbot`: arguments in, one story called, its outcome printed. Never a decision, never a door."""
