"""Everything that speaks to Triton; nothing else imports tritonclient."""
