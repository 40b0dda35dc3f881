"""The engine room: bytes, offsets and transactions, no business.

It delivers the records of a partition's source topics as lists, in order of append time, to one
business step per partition, and commits what the step wants written in one Kafka transaction
together with the source offsets. Nothing here knows what an entity or an alert is.

README.md beside this file shows the way of a record, what must be awaited before what, and what
ends the process.
"""
