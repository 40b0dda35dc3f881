"""The intake of registration events (登记注册接收服务)."""
