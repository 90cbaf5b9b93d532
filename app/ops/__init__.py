"""What whoever runs the service asks it: is it alive, is it ready, what is it."""
