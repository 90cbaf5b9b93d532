"""Feedback: what people say of an identification, and the sealed ids that it is said of."""
