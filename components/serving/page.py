"""The page at /docs: what can be asked, and a form to try it; it needs no network but the server's own."""

from __future__ import annotations

POLICY = b"content-security-policy: default-src 'self'\r\n"


def html(case: str) -> bytes:
    return f"<!doctype html><title>{case}</title>".encode()
