{{/*
Where each secret is: (dict "own" {key in the chart's Secret: value} "sources" [sources of a projected volume]).
The paths are those below /etc/clopos-exporter/secrets that the configuration names.
*/}}
{{- define "clopos-exporter.secrets" -}}
{{- $own := dict }}
{{- $sources := list }}
{{- $places := list }}
{{- range $brand := .Values.brands }}
{{- $folder := printf "brands/%s" $brand.brand }}
{{- if $brand.existingSecret }}
{{- $keys := $brand.secretKeys | default (dict "client_secret" "client_secret") }}
{{- $places = append $places (dict "secret" $brand.existingSecret "folder" $folder "keys" $keys) }}
{{- else }}
{{- range $key := list "client_secret" "token" }}
{{- with get $brand $key }}{{ $_ := set $own (printf "brands.%s.%s" $brand.brand $key) (list . $folder $key) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- $urls := list (list "heartbeat" .Values.heartbeat) (list "state" .Values.state) }}
{{- range .Values.notifications.channels }}{{ $urls = append $urls (list (printf "channels/%s" .name) .) }}{{ end }}
{{- range $pair := $urls }}
{{- $folder := first $pair }}
{{- with last $pair }}
{{- if .existingSecret }}
{{- $places = append $places (dict "secret" .existingSecret "folder" $folder "keys" (dict "url" (.secretKey | default "url"))) }}
{{- else if .url }}
{{- $_ := set $own (printf "%s.url" ($folder | replace "/" ".")) (list .url $folder "url") }}
{{- end }}
{{- end }}
{{- end }}
{{- range $place := $places }}
{{- $items := list }}
{{- range $file, $key := $place.keys }}{{ $items = append $items (dict "key" $key "path" (printf "%s/%s" $place.folder $file)) }}{{ end }}
{{- $sources = append $sources (dict "secret" (dict "name" (tpl $place.secret $) "items" $items)) }}
{{- end }}
{{- $data := dict }}
{{- $items := list }}
{{- range $key, $value := $own }}
{{- $_ := set $data $key (first $value | b64enc) }}
{{- $items = append $items (dict "key" $key "path" (rest $value | join "/")) }}
{{- end }}
{{- with $items }}
{{- $sources = prepend $sources (dict "secret" (dict "name" (include "clopos-exporter.fullname" $) "items" .)) }}
{{- end }}
{{- with .Values.web.config }}{{ $_ := set $data "web-config.yaml" (toYaml . | b64enc) }}{{ end }}
{{- dict "data" $data "sources" $sources | toYaml }}
{{- end }}

{{/* Of the chart's Secret, what a restart alone brings into force: a weaker web configuration, another database. */}}
{{- define "clopos-exporter.restartingSecrets" -}}
{{- $data := (include "clopos-exporter.secrets" . | fromYaml).data }}
{{- if .Values.reload.interval }}{{ $data = pick $data "state.url" "web-config.yaml" }}{{ end }}
{{- toYaml $data }}
{{- end }}

{{/*
The revision of the release that last changed these, so that the change replaces the pods without their annotations
revealing anything about it. Without a cluster to ask (`helm template`) it is the first.
*/}}
{{- define "clopos-exporter.secretsRevision" -}}
{{- $data := include "clopos-exporter.restartingSecrets" . | fromYaml }}
{{- $there := lookup "v1" "Secret" (include "clopos-exporter.namespace" .) (include "clopos-exporter.fullname" .) }}
{{- $before := ($there | default dict).data | default dict }}
{{- if .Values.reload.interval }}{{ $before = pick $before "state.url" "web-config.yaml" }}{{ end }}
{{- if and $there (eq (toJson $before) (toJson $data)) }}
{{- get ($there.metadata.annotations | default dict) "clopos-exporter/secrets-revision" | default .Release.Revision }}
{{- else }}
{{- .Release.Revision }}
{{- end }}
{{- end }}

{{/* The exporter's own configuration file. */}}
{{- define "clopos-exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $secrets := "/etc/clopos-exporter/secrets" }}
{{- $state := $config.state | default dict }}
{{- if or .Values.state.url .Values.state.existingSecret }}
{{- $_ := set $state "url_file" (printf "%s/state/url" $secrets) }}
{{- else if not $state.url_file }}
{{- $state = merge $state (dict "path" "/var/lib/clopos-exporter/state.db") }}
{{- end }}
{{- $_ := set $config "state" $state }}
{{- $brands := list }}
{{- range $from := .Values.brands }}
{{- $brand := omit $from "existingSecret" "secretKeys" "client_secret" "token" }}
{{- $keys := keys (pick $from "client_secret" "token") }}
{{- if $from.existingSecret }}{{ $keys = $from.secretKeys | default (dict "client_secret" "") | keys }}{{ end }}
{{- range $keys }}{{ $_ := set $brand (printf "%s_file" .) (printf "%s/brands/%s/%s" $secrets $from.brand .) }}{{ end }}
{{- $brands = append $brands $brand }}
{{- end }}
{{- with $brands }}{{ $_ := set $config "brands" . }}{{ end }}
{{- $channels := list }}
{{- range .Values.notifications.channels }}
{{- $place := dict "url_file" (printf "%s/channels/%s/url" $secrets .name) }}
{{- $channels = append $channels (merge (omit . "url" "existingSecret" "secretKey") $place) }}
{{- end }}
{{- with $channels }}{{ $_ := set $config "notifications" (merge (dict "channels" .) $.Values.notifications) }}{{ end }}
{{- with .Values.heartbeat }}
{{- if or .url .existingSecret .url_file }}
{{- $place := dict "url_file" (printf "%s/heartbeat/url" $secrets) }}
{{- $_ := set $config "heartbeat" (merge (pick . "interval" "url_file") $place) }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}
