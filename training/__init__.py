"""Offline work: from pictures to a bundle; export of nets. Never imported by the service."""
