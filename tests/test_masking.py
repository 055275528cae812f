from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.masking import MASK, masker

SECRET = 'p/ss"wörd+&<\\>='
ENCODINGS = {
    "plain": lambda secret: secret,
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded in lower case": lambda secret: quote(secret, safe="").lower(),
    "every byte percent-encoded": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON with bare letters": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "every letter as in JSON": lambda secret: "".join(f"\\u{ord(letter):04X}" for letter in secret),
    "HTML": html.escape,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 without padding": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "base64 after a user": lambda secret: base64.b64encode(f"client:{secret}".encode()).decode(),
    "base64 after a longer user": lambda secret: base64.b64encode(f"client2:{secret}".encode()).decode(),
    "base64 after the longest user": lambda secret: base64.b64encode(f"client22:{secret}".encode()).decode(),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_a_secret_is_masked_however_it_is_encoded(encode: object) -> None:
    assert callable(encode)
    masked = masker([SECRET])(f"no, {encode(SECRET)} is wrong")
    assert encode(SECRET) not in masked
    assert "wörd" not in masked
    assert masked.startswith(f"no, {MASK}")
    assert masked.rstrip("=").endswith(" is wrong")


@pytest.mark.parametrize("text", ["Not found", r"C:\new", "100%25 sure", "a&amp;b", "dGhpcyBpcyBub3QgaXQ=", ""])
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert masker([SECRET, ""])(text) == text


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert masker(["token", "token-and-more"])("a token-and-more b token") == f"a {MASK} b {MASK}"


@given(st.text(max_size=200), st.text(min_size=6, max_size=20))
def test_any_text_can_be_masked(text: str, secret: str) -> None:
    assert secret not in masker([secret])(f"{text}{secret}").replace(MASK, "\0")
