from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from exporter.config import Brand, Ignored, Settings, State, load
from exporter.config.settings import ListedVenue, VenueSettings
from exporter.errors import ConfigError

TWO = """\
    brands:
      - {brand: one, token: token-of-one}
      - {brand: two, client_id: i, client_secret: secret-of-two, integrator_id: n}
    """


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    path = Path("clopos.yml")
    path.write_text(dedent(text))
    return load(path, environ or {}, flags)


def test_the_example_of_the_contract_is_understood() -> None:
    Path("tandir").write_text("s3cret-Value\n")
    settings = loaded(
        """\
        poll_interval: 30s            # as often as wished
        stale_after: 5m
        discovery_interval: 15m
        brands:
          - brand: tandir-group
            client_id: "..."
            client_secret_file: tandir
            integrator_id: "..."
            base_url: https://integrations.clopos.com/open-api/v2/
            requests_per_minute: 240
            venues: all
            time_zone: Asia/Baku
            opening_hours: "Mo-Su 10:00-02:00"
            venue_overrides:
              "7": {opening_hours: "Fr-Su 12:00-04:00", ignore_stations: ["Test printer"]}
        state:
          path: ./clopos-exporter.db
        """
    )
    assert settings == Settings(
        poll_interval=30.0,
        stale_after=300.0,
        discovery_interval=900.0,
        brands=(
            Brand(
                brand="tandir-group",
                client_id="...",
                client_secret=SecretStr("s3cret-Value"),
                integrator_id="...",
                base_url="https://integrations.clopos.com/open-api/v2",
                requests_per_minute=240,
                venues=None,
                time_zone="Asia/Baku",
                opening_hours="Mo-Su 10:00-02:00",
                venue_overrides={
                    "7": VenueSettings(
                        opening_hours="Fr-Su 12:00-04:00", ignore_stations=(Ignored(station="Test printer"),)
                    )
                },
            ),
        ),
        state=State(path=Path("clopos-exporter.db")),
    )


def test_what_is_not_said_has_the_defaults_of_the_contract() -> None:
    settings = loaded("brands: [{brand: b, token: eyJ}]")
    assert (settings.poll_interval, settings.stale_after, settings.discovery_interval) == (30.0, 300.0, 900.0)
    assert settings.state == State(path=None, journal_retention=90 * 86400.0)
    assert (settings.shard, settings.total_shards) == (0, 1)
    (brand,) = settings.brands
    assert brand.base_url == "https://integrations.clopos.com/open-api/v2"
    assert (brand.requests_per_minute, brand.venues, brand.ignore_stations) == (240, None, ())


def test_one_brand_needs_only_the_environment() -> None:
    settings = load(
        None,
        {
            "CLOPOS_CLIENT_ID": "i",
            "CLOPOS_CLIENT_SECRET": " s3cret-Value\n",
            "CLOPOS_BRAND": "tandir-group",
            "CLOPOS_INTEGRATOR_ID": "n",
            "CLOPOS_VENUE_ID": "7, 8",
            "CLOPOS_BASE_URL": "http://127.0.0.1:8080",
            "CLOPOS_REQUESTS_PER_MINUTE": "60",
            "CLOPOS_TIME_ZONE": "Asia/Baku",
            "CLOPOS_OPENING_HOURS": "24/7",
            "CLOPOS_POLL_INTERVAL": "1s",
            "CLOPOS_STALE_AFTER": "1h30m",
            "CLOPOS_DISCOVERY_INTERVAL": "1d",
            "CLOPOS_STATE_PATH": "clopos.db",
            "CLOPOS_JOURNAL_RETENTION": "1w",
            "CLOPOS_TOTAL_SHARDS": "3",
            "CLOPOS_SHARD": "2",
            "CLOPOS_TOKEN": "",
        },
    )
    assert settings == Settings(
        poll_interval=1.0,
        stale_after=5400.0,
        discovery_interval=86400.0,
        brands=(
            Brand(
                brand="tandir-group",
                client_id="i",
                client_secret=SecretStr("s3cret-Value"),
                integrator_id="n",
                venues=(ListedVenue(id="7"), ListedVenue(id="8")),
                base_url="http://127.0.0.1:8080",
                requests_per_minute=60,
                time_zone="Asia/Baku",
                opening_hours="24/7",
            ),
        ),
        state=State(path=Path("clopos.db"), journal_retention=604800.0),
        shard=2,
        total_shards=3,
    )


def test_a_ready_token_needs_no_name_and_no_login() -> None:
    (brand,) = load(None, {"CLOPOS_TOKEN": "eyJ", "CLOPOS_VENUE_ID": "all"}).brands
    assert (brand.brand, brand.token, brand.client_id, brand.venues) == ("default", SecretStr("eyJ"), None, None)


def test_every_credential_may_come_from_a_file() -> None:
    for name in ("id", "secret", "integrator"):
        Path(name).write_text(f"  the {name}\n")
    environ = {
        "CLOPOS_BRAND": "b",
        "CLOPOS_CLIENT_ID_FILE": "id",
        "CLOPOS_CLIENT_SECRET_FILE": str(Path("secret").absolute()),
        "CLOPOS_INTEGRATOR_ID_FILE": "integrator",
    }
    (brand,) = load(None, environ).brands
    assert brand == Brand(
        brand="b", client_id="the id", client_secret=SecretStr("the secret"), integrator_id="the integrator"
    )


def test_paths_begin_at_the_folder_of_the_file_that_names_them() -> None:
    folder = Path("etc")
    folder.mkdir()
    (folder / "token").write_text("token-of-the-file")
    (folder / "clopos.yml").write_text("brands: [{brand: b, token_file: token}]\nstate: {path: data/clopos.db}")
    Path("token").write_text("token-of-the-environment")
    settings = load(folder / "clopos.yml", {})
    assert settings.brands[0].token == SecretStr("token-of-the-file")
    assert settings.state.path == folder / "data/clopos.db"
    settings = load(folder / "clopos.yml", {"CLOPOS_TOKEN_FILE": "token", "CLOPOS_STATE_PATH": "clopos.db"})
    assert settings.brands[0].token == SecretStr("token-of-the-environment")
    assert settings.state.path == Path("clopos.db")


def test_a_flag_wins_over_the_environment_and_that_over_the_file() -> None:
    text = "poll_interval: 10s\nstale_after: 10m\ndiscovery_interval: 10h\nbrands: [{brand: b, token: eyJ}]"
    environ = {"CLOPOS_POLL_INTERVAL": "20s", "CLOPOS_STALE_AFTER": "20m"}
    settings = loaded(text, environ, poll_interval="30s", stale_after=None, **{"state.path": "flag.db"})
    assert (settings.poll_interval, settings.stale_after, settings.discovery_interval) == (30.0, 1200.0, 36000.0)
    assert settings.state.path == Path("flag.db")


def test_the_environment_speaks_of_the_only_brand_of_the_file() -> None:
    (brand,) = loaded("brands: [{brand: b, token: eyJ}]", {"CLOPOS_BASE_URL": "http://127.0.0.1"}).brands
    assert brand == Brand(brand="b", token=SecretStr("eyJ"), base_url="http://127.0.0.1")


def test_the_environment_speaks_of_the_brand_that_it_names() -> None:
    one, two = loaded(TWO, {"CLOPOS_BRAND": "two", "CLOPOS_CLIENT_SECRET": "new-secret"}).brands
    assert (one.token, two.client_secret) == (SecretStr("token-of-one"), SecretStr("new-secret"))


def test_the_environment_may_hold_the_one_brand_beside_a_file_without_brands() -> None:
    settings = loaded("poll_interval: 1m", {"CLOPOS_BRAND": "three", "CLOPOS_TOKEN": "token-of-three"})
    assert [brand.brand for brand in settings.brands] == ["three"]


def test_what_the_environment_gives_replaces_every_other_way_to_say_it() -> None:
    Path("secret").write_text("secret-from-file")
    text = "brands: [{brand: b, client_id: i, integrator_id: n, client_secret_file: nowhere}]"
    assert loaded(text, {"CLOPOS_CLIENT_SECRET": "s"}).brands[0].client_secret == SecretStr("s")
    assert loaded(text, {"CLOPOS_CLIENT_SECRET_FILE": "secret"}).brands[0].client_secret == SecretStr(
        "secret-from-file"
    )
    with_token = loaded(text, {"CLOPOS_TOKEN": "eyJ"}).brands[0]
    assert (with_token.token, with_token.client_secret) == (SecretStr("eyJ"), None)
    text = "brands: [{brand: b, token: eyJ, client_id: i, integrator_id: n}]"
    without = loaded(text, {"CLOPOS_CLIENT_SECRET": "s"}).brands[0]
    assert (without.token, without.client_secret) == (None, SecretStr("s"))


def test_variables_of_others_are_left_alone() -> None:
    others = {
        "CLOPOS_EXPORTER_PORT": "tcp://10.0.0.1:10110",
        "CLOPOS_EXPORTER_PORT_10110_TCP": "tcp://10.0.0.1:10110",
        "CLOPOS_EXPORTER_SERVICE_PORT_HTTP": "10110",
        "CLOPOS_SERVICE_HOST": "10.0.0.1",
        "CLOPOS_SERVICE_PORT_HTTP": "80",
        "CLOPOS_PORT_80_TCP_ADDR": "10.0.0.1",
        "CLOPOS_SOMETHING_ELSE": "x",
        "CLIENT_SECRT": "x",
    }
    assert loaded(TWO, others) == loaded(TWO)


def test_values_are_text_as_it_is_written() -> None:
    settings = loaded(
        """\
        brands:
          - {brand: no, client_id: 007, client_secret: 0x1F, integrator_id: 1e3, venues: [010, 1_0]}
          - {brand: 2026-01-01, token: 12:30}
        """
    )
    no, day = settings.brands
    assert (no.brand, no.client_id, no.client_secret, no.integrator_id) == ("no", "007", SecretStr("0x1F"), "1e3")
    assert no.venues == (ListedVenue(id="010"), ListedVenue(id="1_0"))
    assert (day.brand, day.token) == ("2026-01-01", SecretStr("12:30"))


def test_a_key_without_a_value_is_as_if_it_were_not_there() -> None:
    assert loaded("brands: [{brand: b, token: eyJ, venues:, client_secret_file: ~}]\nstate:\npoll_interval:") == loaded(
        "brands: [{brand: b, token: eyJ}]"
    )


def test_brands_may_share_what_they_have_in_common() -> None:
    settings = loaded(
        """\
        brands:
          - &common
            brand: one
            client_id: i
            client_secret: s
            integrator_id: n
            venues: &few [1, 2]
          - {<<: *common, brand: two}
          - <<: [{brand: three, client_id: of-the-first}, *common]
            venues: *few
        """
    )
    assert [brand.brand for brand in settings.brands] == ["one", "two", "three"]
    assert [brand.client_id for brand in settings.brands] == ["i", "i", "of-the-first"]
    assert {brand.venues for brand in settings.brands} == {(ListedVenue(id="1"), ListedVenue(id="2"))}


def test_a_venue_has_what_its_override_says_and_else_what_the_brand_says() -> None:
    (brand,) = loaded(
        """\
        brands:
          - brand: b
            token: eyJ
            time_zone: Asia/Baku
            opening_hours: Mo-Su 10:00-02:00
            ignore_stations: [Test, {station: 12, until: 2026-12-31}]
            venue_overrides:
              7: {opening_hours: 24/7, ignore_stations: [Bar]}
              8: {time_zone: Europe/London}
        """
    ).brands
    everywhere = (Ignored(station="Test"), Ignored(station="12", until=date(2026, 12, 31)))
    assert brand.venue("1") == VenueSettings(
        opening_hours="Mo-Su 10:00-02:00", time_zone="Asia/Baku", ignore_stations=everywhere
    )
    assert brand.venue("7") == VenueSettings(
        opening_hours="24/7", time_zone="Asia/Baku", ignore_stations=(*everywhere, Ignored(station="Bar"))
    )
    assert brand.venue("8").time_zone == "Europe/London"


def test_settings_cannot_be_changed() -> None:
    settings = loaded("brands: [{brand: b, token: eyJ}]")
    with pytest.raises(ValidationError):
        settings.poll_interval = 1.0  # type: ignore[misc]


def test_the_same_file_read_again_is_equal() -> None:
    assert loaded(TWO) == loaded(TWO)
    assert loaded(TWO) != loaded(TWO.replace("secret-of-two", "another"))


def test_the_shard_is_taken_from_the_name_of_the_pod() -> None:
    assert loaded(TWO, {"HOSTNAME": "clopos-exporter-2"}, total_shards=3).shard == 2
    assert loaded(TWO, {"HOSTNAME": "x-2", "POD_NAME": "clopos-exporter-1"}, total_shards="3").shard == 1
    assert loaded(TWO, {"HOSTNAME": "clopos-exporter-2"}, total_shards=3, shard=0).shard == 0
    assert loaded(TWO, {"HOSTNAME": "clopos-exporter-2"}, total_shards=1).shard == 0
    assert loaded(TWO, {"HOSTNAME": "clopos-exporter-2"}).shard == 0


def test_secrets_are_nowhere_to_be_seen() -> None:
    settings = loaded(TWO)
    seen = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    seen += [f"{brand.token} {brand.token!r} {brand.client_secret!s}" for brand in settings.brands]
    for text in seen:
        assert "token-of-one" not in text
        assert "secret-of-two" not in text
    assert settings.secrets == ("token-of-one", "secret-of-two")


VALUES = st.recursive(
    st.none() | st.text(max_size=8) | st.sampled_from(["all", "30s", "7", "Asia/Baku", "24/7", "eyJ", "x y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [*Brand.model_fields, "client_secret_file", "token_file"]
BRANDS = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6) | VALUES, max_size=3)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "brands": BRANDS | VALUES,
        "state": VALUES,
        "poll_interval": VALUES,
        "shard": VALUES,
        "total_shards": VALUES,
        "other": VALUES,
    },
)
ENVIRONS = st.dictionaries(
    st.sampled_from(
        ["CLOPOS_BRAND", "CLOPOS_TOKEN", "CLOPOS_CLIENT_SECRET_FILE", "CLOPOS_VENUE_ID", "CLOPOS_STATE_PATH"]
    ),
    st.text(st.characters(exclude_characters="\x00"), max_size=8),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(FILES, ENVIRONS)
def test_any_file_is_understood_or_refused_with_faults(tmp_path: Path, data: object, environ: dict[str, str]) -> None:
    path = tmp_path / "any.yml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8", errors="replace")
    with suppress(ConfigError):
        assert isinstance(load(path, environ), Settings)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_understood_or_refused_with_faults(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.yml"
    path.write_bytes(b"brands:\n  - client_secret: " + content)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.faults


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    shape=st.sampled_from(
        ["{}", "'{}'", '"{}"', "[{}]", "{{a: {}}}", "*{}", "&{}", "!{}", "|{}", "%{}", "@{}", "{}: x"]
    ),
    key=st.sampled_from(["client_secret", "token"]),
    twice=st.booleans(),
)
def test_no_fault_ever_shows_a_secret(tmp_path: Path, shape: str, key: str, *, twice: bool) -> None:
    secret = "s3cret-Value"
    path = tmp_path / "any.yml"
    path.write_text(f"brands:\n  - {key}: {shape.format(secret)}\n" + f"    {key}: {secret}\n" * twice)
    with pytest.raises(ConfigError) as caught:
        load(path, {"CLOPOS_TOKN": secret})
    assert secret not in repr(caught.value.faults)
    assert caught.value.__context__ is None or secret not in str(caught.value.__context__)
