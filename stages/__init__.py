"""The stages of `dvc.yaml`, one module each, and the small modules they share."""
