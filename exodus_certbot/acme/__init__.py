"""What a CA asks and is asked: HTTP-01 challenges, its renewal windows. Never a certificate on disk, never a reload."""
