"""What the demo shows beside answers: `tools/demo.py`."""
