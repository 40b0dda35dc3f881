"""From four axes to one level: a fixed table, the same for every rule. Pure.

Each axis runs from 1 (low) to 4 (high): probability, urgency, harm, social impact, the four that
article 59 of the Guangdong Market Supervision Regulation (广东省市场监管条例) names. The article
gives no formula; this table is the system's own:

    sum 4 to 6    blue    (蓝色)
    sum 7 to 9    yellow  (黄色)
    sum 10 to 12  orange  (橙色)
    sum 13 to 16  red     (红色)
"""

from market_supervision.alerts.v1 import alert_pb2

_LEVELS = (
    (13, alert_pb2.SEVERITY_RED),
    (10, alert_pb2.SEVERITY_ORANGE),
    (7, alert_pb2.SEVERITY_YELLOW),
    (4, alert_pb2.SEVERITY_BLUE),
)


def level_of(axes: alert_pb2.SeverityAxes) -> alert_pb2.Severity.ValueType:
    """Return the level of four axes of 1 to 4 each."""
    total = axes.probability + axes.urgency + axes.harm + axes.social_impact
    return next(level for least, level in _LEVELS if total >= least)
