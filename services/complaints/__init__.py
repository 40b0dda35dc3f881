"""The intake of complaint and report events (投诉举报接收服务)."""
