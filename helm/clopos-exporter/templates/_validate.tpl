{{/* What cannot be is refused before anything is rendered. */}}
{{- define "clopos-exporter.validate" -}}
{{- range $name := list (include "clopos-exporter.fullname" .) (include "clopos-exporter.name" .) }}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) }}
{{- fail (printf "The name %s is none in Kubernetes, which takes small letters, digits and dashes, a letter first: set fullnameOverride or nameOverride." $name) }}
{{- end }}
{{- end }}
{{- include "clopos-exporter.validateMonitors" . }}
{{- include "clopos-exporter.validatePods" . }}
{{- include "clopos-exporter.validateWeb" . }}
{{- $seen := dict }}
{{- range .Values.brands }}
{{- if hasKey $seen .brand }}
{{- fail (printf "brands: %s is there twice; name it once, with all its venues." .brand) }}
{{- end }}
{{- $_ := set $seen .brand true }}
{{- include "clopos-exporter.validateBrand" . }}
{{- end }}
{{- range $index, $channel := .Values.notifications.channels }}
{{- include "clopos-exporter.validateUrl" (list (printf "notifications.channels: %s" $channel.name) $channel true) }}
{{- range $before := slice $.Values.notifications.channels 0 $index }}
{{- if eq $before.name $channel.name }}
{{- fail (printf "notifications.channels: %s is there twice; give each a name of its own." $channel.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "clopos-exporter.validateUrl" (list "heartbeat" .Values.heartbeat false) }}
{{- include "clopos-exporter.validateUrl" (list "state" .Values.state false) }}
{{- range $scheme := list "http" "https" }}
{{- if contains "@" (get $.Values.proxy $scheme) }}
{{- fail (printf "proxy.%s holds a login, which anybody who may read pods would see: put the whole URL into a Secret, and name that in proxy.existingSecret." $scheme) }}
{{- end }}
{{- end }}
{{- if and .Values.proxy.existingSecret (or .Values.proxy.http .Values.proxy.https) }}
{{- fail "proxy.existingSecret holds the proxies' URLs: leave proxy.http and proxy.https out." }}
{{- end }}
{{- end }}

{{/* (list where values whether-it-is-needed) */}}
{{- define "clopos-exporter.validateUrl" -}}
{{- $values := index . 1 }}
{{- $ways := list }}
{{- range $key := list "existingSecret" "url" "url_file" }}
{{- if get $values $key }}{{ $ways = append $ways $key }}{{ end }}
{{- end }}
{{- if or (gt (len $ways) 1) (and (last .) (not $ways)) }}
{{- fail (printf "%s needs exactly one of existingSecret, url and url_file; it has %s." (first .) (join " and " $ways | default "none")) }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.validateBrand" -}}
{{- $brand := . }}
{{- $ways := list }}
{{- range $key := list "existingSecret" "client_secret" "client_secret_file" "token" "token_file" }}
{{- if hasKey $brand $key }}{{ $ways = append $ways $key }}{{ end }}
{{- end }}
{{- if ne (len $ways) 1 }}
{{- fail (printf "brands: %s needs exactly one of existingSecret, client_secret and token (or a file of either); it has %s." .brand (join " and " $ways | default "none")) }}
{{- end }}
{{- if and .secretKeys (not .existingSecret) }}
{{- fail (printf "brands: %s has secretKeys, which are those of an existingSecret: set that too." .brand) }}
{{- end }}
{{- $keys := .secretKeys | default dict }}
{{- if not (or (hasKey $keys "token") (hasPrefix "token" (first $ways))) }}
{{- if and $keys (not (hasKey $keys "client_secret")) }}
{{- fail (printf "brands: %s needs client_secret or token among its secretKeys." .brand) }}
{{- end }}
{{- range $key := list "client_id" "integrator_id" }}
{{- if not (or (hasKey $brand $key) (hasKey $brand (printf "%s_file" $key)) (hasKey $keys $key)) }}
{{- fail (printf "brands: %s has no %s: set it, or name its key in secretKeys. Only a token needs none." $brand.brand $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.validateMonitors" -}}
{{- $monitors := list }}
{{- range $monitor := list "serviceMonitor" "podMonitor" "scrapeConfig" }}
{{- if (index $.Values $monitor).enabled }}{{ $monitors = append $monitors $monitor }}{{ end }}
{{- end }}
{{- if gt (len $monitors) 1 }}
{{- fail (printf "Enable one of %s: together they would scrape the same pods more than once." (join " and " $monitors)) }}
{{- end }}
{{- if not .Values.service.enabled }}
{{- range $name := list "serviceMonitor" "scrapeConfig" "ingress" "httpRoute" }}
{{- if (index $.Values $name).enabled }}
{{- fail (printf "%s.enabled needs service.enabled; podMonitor works without a Service." $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.validatePods" -}}
{{- $shared := include "clopos-exporter.shared" . }}
{{- if .Values.sharding.enabled }}
{{- if or $shared (gt (int .Values.replicas) 1) }}
{{- fail "sharding and replicas with a shared state exclude each other: processes that share a database divide the brands themselves. Keep sharding without a database, or replicas with one." }}
{{- end }}
{{- if .Values.demo }}
{{- fail "demo has a single pod: switch sharding off." }}
{{- end }}
{{- if gt (int .Values.sharding.shards) (len .Values.brands) }}
{{- fail (printf "sharding.shards is %d, but there are %d brands: a brand is never divided, so a pod would have nothing to do." (int .Values.sharding.shards) (len .Values.brands)) }}
{{- end }}
{{- if .Values.persistence.existingClaim }}
{{- fail "persistence.existingClaim cannot be shared by the shards: leave it out, and each pod gets a claim of its own." }}
{{- end }}
{{- else if and (gt (int .Values.replicas) 1) (not $shared) }}
{{- fail (printf "replicas is %d, but each would poll the same brands out of the same quota: name the Secret of a PostgreSQL URL in state.existingSecret, or divide the brands with sharding." (int .Values.replicas)) }}
{{- end }}
{{- if and $shared .Values.persistence.enabled }}
{{- fail "persistence keeps a file, but the state is in the database: switch persistence off." }}
{{- end }}
{{- if and $shared .Values.demo }}
{{- fail "demo keeps no state: leave state out." }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.validateWeb" -}}
{{- if and .Values.demo .Values.brands }}
{{- fail "demo runs against the simulator and needs no brands: set one or the other." }}
{{- end }}
{{- if and .Values.demo (or .Values.web.config .Values.web.existingSecret .Values.web.routePrefix .Values.web.allowedHosts (include "clopos-exporter.externalUrl" .) (ne .Values.web.telemetryPath "/metrics") (ne .Values.web.scheme "http")) }}
{{- fail "demo serves plain HTTP with /metrics at its place: of web, only the port can be set, and neither ingress nor httpRoute with a host." }}
{{- end }}
{{- if and .Values.web.config .Values.web.existingSecret }}
{{- fail "web.config and web.existingSecret exclude each other: set one of them." }}
{{- end }}
{{- $tls := hasKey .Values.web.config "tls_server_config" }}
{{- if and $tls (ne .Values.web.scheme "https") }}
{{- fail "web.config has tls_server_config: set web.scheme to https, for probes and monitors." }}
{{- end }}
{{- if and (eq .Values.web.scheme "https") (not $tls) (not .Values.web.existingSecret) }}
{{- fail "web.scheme is https, but nothing sets TLS up: give web.config a tls_server_config, or name a Secret with one in web.existingSecret." }}
{{- end }}
{{- end }}
