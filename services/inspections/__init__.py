"""The intake of inspection events (监督检查接收服务)."""
