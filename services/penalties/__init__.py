"""The intake of penalty events (行政处罚接收服务)."""
