"""FieldNet: fields of structure for the search, drawn by a small network."""
