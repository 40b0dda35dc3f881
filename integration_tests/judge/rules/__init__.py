"""The rules applied anew: which alerts must be open, from the log and the rules on it. Pure.

Written from what the rule rows say of themselves (docs/how-to/add-alert-rule.md) and from the
reference fold; conditions are read from the bundles that stand on the control topic.
"""
