"""The words in angle brackets that alerts use, as Prometheus templates.

Alerts carry ids only, so that a renamed station keeps its alert; names are looked up when a text is written.
"""

from __future__ import annotations


def _name(metric: str, label: str, *keys: str) -> str:
    matchers = ",".join(f"{key}=%[{number}]q" for number, key in enumerate(keys, 1))
    values = " ".join(f"$labels.{key}" for key in keys)
    # What is there now stands first; a name from before is for what has gone.
    query = f"{metric}{{{matchers}}} or last_over_time({metric}{{{matchers}}}[12h])"
    found, otherwise = f'. | first | label "{label}"', f"{label} {{{{ $labels.{keys[-1]} }}}}"
    return f'{{{{ with printf "{query}" {values} | query }}}}{{{{ {found} }}}}{{{{ else }}}}{otherwise}{{{{ end }}}}'


_AFFECTED = (
    r"topk(20, group by (venue) (clopos_venue_up{brand=%[1]q}"
    r" and on (brand, venue_id) station:clopos_station_active:open{brand=%[1]q,kind=\"kitchen\"} == 0))"
)

_WORDS = {
    "<venue>": _name("clopos_venue_up", "venue", "brand", "venue_id"),
    "<station>": _name("clopos_station_active", "station", "brand", "venue_id", "station_id"),
    "<brand>": "{{ $labels.brand }}",
    "<instance>": "{{ $labels.instance }}",
    "<value>": "{{ $value }}",
    "<percentage>": "{{ $value | humanizePercentage }}",
    "<affected>": f'{{{{ range $index, $found := printf "{_AFFECTED}" $labels.brand | query | sortByLabel "venue" }}}}'
    "{{ if $index }}, {{ end }}{{ $found.Labels.venue }}{{ end }}",
    "<ignore>": "If it is meant to be off, ask IT to list it under ignore_stations.",
}


def fill(text: str) -> str:
    """Put the templates in place of the words in angle brackets, on one line."""
    for word, template in _WORDS.items():
        text = text.replace(word, template)
    return " ".join(text.split())
