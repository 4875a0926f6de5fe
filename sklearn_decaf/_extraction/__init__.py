"""Features of very many photographs, written to files by runs that can be interrupted."""
