"""Codes the city uses: divisions, industries, licences, topics, violations, findings (代码)."""

from datetime import date

from market_supervision.common.v1.envelope_pb2 import CodedValue

DIVISION_SYSTEM = "GB/T 2260"
INDUSTRY_SYSTEM = "GB/T 4754-2017"
LICENCE_TYPE_SYSTEM = "market-supervision/licence-types"
COMPLAINT_TOPIC_SYSTEM = "market-supervision/complaint-topics"
VIOLATION_SYSTEM = "market-supervision/violations"
FINDING_SYSTEM = "market-supervision/findings"
PRODUCT_SYSTEM = "market-supervision/product-categories"
EXEMPTION_SYSTEM = "market-supervision/exemption-items"

CITY_CODE = "442000"
TOWNS: tuple[tuple[str, str], ...] = (
    ("442000001", "石岐街道"),
    ("442000002", "东区街道"),
    ("442000003", "中山港街道"),
    ("442000004", "西区街道"),
    ("442000005", "南区街道"),
    ("442000008", "南朗街道"),
    ("442000101", "黄圃镇"),
    ("442000103", "东凤镇"),
    ("442000105", "古镇镇"),
    ("442000106", "沙溪镇"),
    ("442000107", "坦洲镇"),
    ("442000108", "港口镇"),
    ("442000110", "横栏镇"),
    ("442000111", "南头镇"),
    ("442000114", "三乡镇"),
    ("442000118", "小榄镇"),
)
"""Code and name of the towns and streets that entities are spread over."""


def document_number(word: str, day: date, file: str) -> str:
    """Return the number of an invented document (文书号) from its file's matter id."""
    return f"虚构{word}\u3014{day.year}\u3015{file.rpartition('/')[2]}号"


def division(code: str) -> CodedValue:
    """Return an administrative division (行政区划)."""
    return CodedValue(code_system=DIVISION_SYSTEM, code=code)


def industry(code: str) -> CodedValue:
    """Return an industry class (行业)."""
    return CodedValue(code_system=INDUSTRY_SYSTEM, code=code)


def licence_type(code: str) -> CodedValue:
    """Return a kind of licence (许可类别)."""
    return CodedValue(code_system=LICENCE_TYPE_SYSTEM, code=code)


def topic(code: str) -> CodedValue:
    """Return a complaint or report topic (投诉举报问题类别)."""
    return CodedValue(code_system=COMPLAINT_TOPIC_SYSTEM, code=code)


def violation(code: str) -> CodedValue:
    """Return a kind of violation (违法行为)."""
    return CodedValue(code_system=VIOLATION_SYSTEM, code=code)


def finding_code(code: str) -> CodedValue:
    """Return a kind of finding (检查发现问题)."""
    return CodedValue(code_system=FINDING_SYSTEM, code=code)


def product(code: str) -> CodedValue:
    """Return a category of goods or services (商品服务类别)."""
    return CodedValue(code_system=PRODUCT_SYSTEM, code=code)


def exemption_item(code: str) -> CodedValue:
    """Return an item of the no-penalty list (免罚清单事项)."""
    return CodedValue(code_system=EXEMPTION_SYSTEM, code=code)
