"""Run the command `sentiment` with the code in the present folder."""

from sentiment.cli import main

main(prog_name="python -m sentiment")
