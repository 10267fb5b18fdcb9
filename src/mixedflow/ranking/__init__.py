"""Orders of clusters and how sure they are, from a posterior alone; reads no rows."""
