"""Texts of others on a page or in a terminal: what would do something there is shown instead.

A control character can clear a terminal, and a mark of direction can turn around what follows it
(Boucher and Anderson 2021, Trojan Source).
"""

DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
REPLACEMENT = 0xFFFD
PICTURES = 0x2400  # the picture of control character c is at PICTURES + c
KEPT = "\t\n"
SHOWN = {
    **dict.fromkeys([*range(0x80, 0xA0), *DIRECTIONS], REPLACEMENT),
    **{code: PICTURES + code for code in range(0x20) if chr(code) not in KEPT},
    0x7F: 0x2421,
}


def visible(text: str) -> str:
    """The text with a picture for each control character and each mark of direction.

    Tabs and line feeds stay; the text is as long as before.
    """
    return text.translate(SHOWN)
