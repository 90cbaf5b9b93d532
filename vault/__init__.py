"""What may lie on a disk only sealed, and the keys for it: shared by the service and training."""
