"""One small net a cluster: its rows, its training, its files."""
