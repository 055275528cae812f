"""Whatever stands in a configuration file becomes settings or faults, soon, and no fault reveals a secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hostile import SCALARS, TEXTS, VALUES
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from targets import SECRET, configuration, web_configuration

from exporter.config import Brand, Settings
from exporter.web.webconfig import HTTPServer, RateLimit, TLSServer, WebConfig

pytestmark = pytest.mark.slow

bounded = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

READERS = [configuration, web_configuration]
Reader = Callable[[bytes], object]

WORDS = st.sampled_from(
    [*Settings.model_fields, *Brand.model_fields, *WebConfig.model_fields, *TLSServer.model_fields, "token_file"]
)
SYNTAX = st.sampled_from(
    ["\n", "\n  ", "\n    ", ": ", "- ", "? ", "[", "]", "{", "}", ",", "|\n", ">\n", "'", '"', "#", "\\x41", "\t", "~"]
) | st.sampled_from(
    ["&a ", "*a", "<<: ", "!!python/object:os ", "!x ", "---\n", "...\n", "%YAML 1.1\n", "\0", "\ufeff", "30s", "all"]
)
SOUP = st.lists(WORDS | SYNTAX | st.text(max_size=5), max_size=40).map("".join)

LAUGHS = "a: &a [1, 2, 3]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmno"))
CHAINS = "".join(f"brand{number}: 1\n" for number in range(8_000))

SECRETS = ["%s", "*%s", "&%s", "!%s x", "[%s]", "{%s: 1}", "{a: *%s}", "'%s", '"%s', '"\\z%s"', "@%s", "`%s", "%%s"]
SECRETS += [
    "%s: x",
    "|%s",
    ">%s\n",
    "\t%s",
    "'%s\0'",
    "%s\n     x",
    "'%s é'",
    "%s\n   client_secret: %s",
    "- %s",
    "? %s",
]


def in_yaml(document: Any) -> bytes:
    """Write a document as JSON, which is YAML."""
    return json.dumps(document).encode()


def brand(client_id: object, more: dict[str, object]) -> dict[str, object]:
    return {"brand": "a", "client_id": client_id, "client_secret": SECRET, "integrator_id": "i", **more}


def some_of(model: type[Settings | Brand | TLSServer | HTTPServer | RateLimit]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([*model.model_fields]), VALUES, max_size=2)


FILES = st.builds(
    lambda brands, more: {"brands": brands, **more},
    st.lists(st.builds(brand, SCALARS, some_of(Brand)), max_size=3),
    some_of(Settings),
)
WEB_FILES = st.fixed_dictionaries(
    {},
    optional={
        "tls_server_config": some_of(TLSServer),
        "http_server_config": some_of(HTTPServer),
        "rate_limit": some_of(RateLimit),
        "basic_auth_users": st.dictionaries(TEXTS, VALUES, max_size=2),
    },
)


@pytest.mark.parametrize("read", READERS)
@bounded
@given(st.binary(max_size=200) | SOUP.map(lambda text: text.encode(errors="replace")) | VALUES.map(in_yaml))
@example(b"a: &a {<<: *a}")
@example(b"[" * 100_000)
@example(b"{a: " * 100_000)
@example(b"? " * 100_000)
@example(b"- [" * 100_000)
@example(b"&a [*a, *a]")
@example(b"x" * 1_000_000)
@example(b"%s: 1\n" % (b"9" * 5000))
@example(CHAINS.encode())
@example(LAUGHS.encode())
def test_any_bytes_are_settings_or_faults(read: Reader, data: bytes) -> None:
    read(data)


@bounded
@given(FILES.map(in_yaml))
@example(in_yaml({"brands": [brand("c", {"time_zone": "9" * 5000, "opening_hours": "9" * 5000})]}))
@example(in_yaml({"brands": [brand("c", {})], "state": {"path": "a\0b"}}))
@example(in_yaml({"brands": [brand("c", {})], "state": {"path": "a\ud800b"}}))
def test_any_values_are_settings_or_faults(data: bytes) -> None:
    configuration(data)


@bounded
@given(WEB_FILES.map(in_yaml))
@example(in_yaml({"tls_server_config": {"cert_file": "a\0b", "key_file": "c"}}))
@example(in_yaml({"tls_server_config": {"cert_file": "a\ud800b", "key_file": "c"}}))
@example(in_yaml({"rate_limit": {"interval": f"{'9' * 5000}s", "burst": 1}}))
def test_any_values_are_a_web_configuration_or_faults(data: bytes) -> None:
    web_configuration(data)


@pytest.mark.parametrize("key", ["client_secret", "client_secret_file", "token"])
@pytest.mark.parametrize("written", SECRETS)
def test_no_fault_reveals_a_secret_however_it_is_written(key: str, written: str) -> None:
    line = f"   {key}: {written.replace('%s', SECRET)}\n"
    configuration(f"brands:\n - brand: a\n{line}   integrator_id: i\n".encode())
