"""What a platform puts between its uploads and the guard; only what a platform has anyway is imported."""
