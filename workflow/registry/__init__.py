"""The registered model: its versions, the promotion rule, and the champion."""
