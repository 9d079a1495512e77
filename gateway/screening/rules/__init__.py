"""Clinical rules as pure functions: one file a rule, its tables and its texts beside it.

No rule guesses: an input that is not known is named in `Assessment.missing`.
`registry` holds the rules that a manifest may name.
"""

from gateway.screening.rules.registry import RULES, RuleInput, check_rules

__all__ = ["RULES", "RuleInput", "check_rules"]
