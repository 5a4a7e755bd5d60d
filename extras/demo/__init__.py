"""A page to try the champion."""
