"""Is an alignment right, and how exactly? Measures, evidence, and one calibrated verdict."""
