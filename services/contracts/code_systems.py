"""Names of the code systems this system's own tables bind (代码体系)."""

DIVISIONS = "GB/T 2260"
INDUSTRIES = "GB/T 4754-2017"
COMPLAINT_TOPICS = "market-supervision/complaint-topics"
LICENCE_TYPES = "market-supervision/licence-types"
VIOLATIONS = "market-supervision/violations"
FINDINGS = "market-supervision/findings"
PRODUCT_CATEGORIES = "market-supervision/product-categories"
