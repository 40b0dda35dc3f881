"""The whole system on one machine, fed with a synthetic city: `make run` (演示运行)."""
