"""The registered model: its versions, the rule that promotes one, and the champion."""
