"""Class means, and the clusters of similar classes."""
