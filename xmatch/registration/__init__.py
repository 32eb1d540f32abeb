"""From two files to a registration: the straight line, one module a step."""
