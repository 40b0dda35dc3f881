"""What authorities do and write down, one module a family: the vocabulary of the stories."""
