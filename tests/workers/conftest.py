from dask_cluster import start_cluster  # noqa: F401
