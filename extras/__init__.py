"""What is optional, in folders of their own; `stages`, `workflow` and `sentiment` import none."""
