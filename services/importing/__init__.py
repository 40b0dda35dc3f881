"""File intake (文件导入): files of rows become events, sent through the intake services.

Readers turn a file into rows, an import profile (data) turns a row into an event, the delivery
sends it, the ledger remembers what became of every row.
"""
