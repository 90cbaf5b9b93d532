"""What the service tells Prometheus of itself."""
