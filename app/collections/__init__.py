"""Collections: namespaces of subjects, each tied to one embedder."""
