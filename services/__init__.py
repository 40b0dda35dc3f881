"""Hand-written code; the generated contracts are in `market_supervision`."""
