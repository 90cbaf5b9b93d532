"""Subjects: the people of a collection, their enrolment, their samples, and comparing with them."""
