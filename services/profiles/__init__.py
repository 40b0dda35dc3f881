"""The query side: unified profiles, timelines and alerts over gRPC."""
