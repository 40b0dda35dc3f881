"""A deterministic invented city: entities, what happens to them and why (模拟城市).

Everything is decided by a seed; nothing reads a clock. The generator states which warnings its
causes must lead to (expectations.py). It reads no rule and knows no engine: what it expects comes
from the plan of its stories alone.
"""
