"""Real parts for tests, demo and benchmark: nginx, Pebble, certbot, and a certificate authority of our own."""
