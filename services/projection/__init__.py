"""The projection: committed state of the stream → read model in Redis, live and on rebuild."""
