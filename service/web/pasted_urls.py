"""Tidying of pasted URLs: characters that copying has added are dropped where that is safe.

The path is tidied before routing, without a redirect, because a provider would lose the body of its
POST. Signatures cover the URL as the provider called it, which the server keeps too.
"""

from __future__ import annotations

import re

PASTED = re.compile(r"/v2/hooks/.*|/healthz|/readyz|/metrics|/openapi\.json", re.DOTALL)

SLASHES = re.compile("/{2,}")

INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
"""Invisible characters that are copied from chats and PDF files. White space is stripped as well.
"""

ENDS = re.compile(rf"[\s/{INVISIBLE}]+\Z")


def tidied(path: str) -> str:
    """Return the path that ``path`` means. Both are in WSGI's form (bytes as Latin-1).

    A doubled slash counts as one. At the end, slashes, white space and invisible characters are
    dropped. Other paths stay as they are.
    """
    text = SLASHES.sub("/", path.encode("latin-1", "replace").decode("utf-8", "replace"))
    text = ENDS.sub("", text)
    return text if PASTED.fullmatch(text) and text.isascii() else path
