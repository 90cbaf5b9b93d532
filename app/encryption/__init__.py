"""The keys that templates and pictures are sealed with: opened, rotated, kept."""
