"""Clinical rules as pure functions: one file a rule, its tables and its texts beside it.

No rule guesses: an input that is not known is named in `Assessment.missing`.
`registry` holds the rules that a manifest may name, `rule` what they are given and give.
"""

from gateway.screening.rules.registry import RULES, check_rules
from gateway.screening.rules.rule import Measures, RuleInput, RuleOutput

__all__ = ["RULES", "Measures", "RuleInput", "RuleOutput", "check_rules"]
