"""Lines break between words."""

import pytest

from sentiment import terminal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", "short"),
        ("one two three four", "one two\nthree four"),
        ("  one two three four", "  one two\n  three\n  four"),
        ("a well-known word", "a\nwell-known\nword"),
        ("at https://example.org/a/b", "at\nhttps://example.org/a/b"),
        ("one\n\ntwo\n", "one\n\ntwo\n"),
    ],
)
def test_long_lines_break_between_words(text: str, expected: str) -> None:
    assert terminal.wrap_lines(text, 10) == expected


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    line = "word " * 100
    terminal.show(line)
    terminal.show(line, err=True)
    assert capsys.readouterr() == (f"{line}\n", f"{line}\n")
