"""The judge: decides whether a run of the whole system lost, doubled or invented anything.

It imports nothing of `services`: what it knows are the contracts, the raw topics, the read model's
bytes and what clients wrote down. What follows from the log it computes again in the simplest form
it can: sets of facts, everything derived from the whole set each time, nothing incrementally.
"""
