"""The page at `/`: one file, of which the browser runs the script that is in it, and no other."""

import base64
import hashlib
from pathlib import Path

from sentiment.serve.schemas import MAX_EXPLAINED_CHARACTERS

PAGE = Path(__file__).with_name("page.html")
LIMIT = "MAX_EXPLAINED_CHARACTERS"  # the page has this instead of the number


def read_page() -> str:
    """Return the page, with the limit of the texts that it explains."""
    return PAGE.read_text(encoding="utf-8").replace(LIMIT, str(MAX_EXPLAINED_CHARACTERS))


def content_security_policy(page: str) -> str:
    """Return a policy that allows the script and the style in a page, and no others."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {source_of(page, 'script')}",
            f"style-src {source_of(page, 'style')}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def source_of(page: str, tag: str) -> str:
    """Return the digest of the content of a page's only element with this tag."""
    content = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
