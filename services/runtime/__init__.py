"""Plumbing every process shares: settings, logs, errors, gRPC server, shutdown."""
