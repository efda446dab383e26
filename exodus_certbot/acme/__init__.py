"""What a CA asks and is asked: HTTP-01 challenges and their webroots, renewal windows. Never a lineage changed."""
