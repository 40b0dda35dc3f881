"""The project's own broker, Redis and process supervisor, for `make run` and the tests."""
