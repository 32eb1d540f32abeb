"""Many items, each worked on in a process that may die of it: here, or on a Dask cluster."""
