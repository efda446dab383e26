"""The doors to certificates: what they hold, and what a handshake is shown. Never why one is asked for."""
