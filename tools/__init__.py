"""The commands behind `make`, one module each, and the packages that several of them share."""
