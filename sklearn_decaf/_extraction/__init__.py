"""Features of very many photographs, written to files that can be taken up again."""
