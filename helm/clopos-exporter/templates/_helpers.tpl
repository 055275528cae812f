{{- define "clopos-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 50 characters leave room for what is appended: a brand, a pod's ordinal. */}}
{{- define "clopos-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "clopos-exporter.fullname" .) "default") }}
{{- end }}

{{- define "clopos-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "clopos-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "clopos-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "clopos-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "clopos-exporter.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name, namespace, labels and annotations of an object: (dict "root" $ "suffix" "" "values" .Values.x) */}}
{{- define "clopos-exporter.metadata" -}}
{{- $values := .values | default dict -}}
name: {{ include "clopos-exporter.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ $values.namespace | default .root.Release.Namespace }}
labels:
  {{- include "clopos-exporter.labels" .root | nindent 2 }}
  {{- with $values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* A brand as part of a Kubernetes name. */}}
{{- define "clopos-exporter.brandSecretName" -}}
{{- $brand := .brand.brand | lower | replace "_" "-" | replace "." "-" -}}
{{- .brand.existingSecret | default (printf "%s-%s" (include "clopos-exporter.fullname" .root) $brand | trunc 63 | trimSuffix "-") }}
{{- end }}

{{/* What a brand's Secret holds, as YAML: the exporter's key and, for each, the key in the Secret. */}}
{{- define "clopos-exporter.brandSecretKeys" -}}
{{- if .existingSecret }}
{{- .secretKeys | default (dict "client_secret" "client_secret") | toYaml }}
{{- else }}
{{- $kind := hasKey . "token" | ternary "token" "client_secret" }}
{{- dict $kind $kind | toYaml }}
{{- end }}
{{- end }}

{{/* The exporter's own configuration file. */}}
{{- define "clopos-exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "state" (merge ($config.state | default dict) (dict "path" "/var/lib/clopos-exporter/state.db")) }}
{{- $brands := list }}
{{- range $from := .Values.brands }}
{{- $brand := omit $from "existingSecret" "secretKeys" "client_secret" "token" }}
{{- range $key, $_ := include "clopos-exporter.brandSecretKeys" $from | fromYaml }}
{{- $_ := set $brand (printf "%s_file" $key) (printf "/etc/clopos-exporter/brands/%s/%s" $brand.brand $key) }}
{{- end }}
{{- $brands = append $brands $brand }}
{{- end }}
{{- with $brands }}
{{- $_ := set $config "brands" . }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* What cannot be is said before anything is rendered. */}}
{{- define "clopos-exporter.validate" -}}
{{- $monitors := list }}
{{- range $monitor := list "serviceMonitor" "podMonitor" "scrapeConfig" }}
{{- if (index $.Values $monitor).enabled }}{{ $monitors = append $monitors $monitor }}{{ end }}
{{- end }}
{{- if gt (len $monitors) 1 }}
{{- fail (printf "Enable one of %s: together they would scrape the same pods more than once." (join " and " $monitors)) }}
{{- end }}
{{- if and (or .Values.serviceMonitor.enabled .Values.scrapeConfig.enabled) (not .Values.service.enabled) }}
{{- fail (printf "%s.enabled needs service.enabled; podMonitor works without a Service." (first $monitors)) }}
{{- end }}
{{- $secrets := dict }}
{{- $seen := dict }}
{{- range $brand := .Values.brands }}
{{- if hasKey $seen $brand.brand }}
{{- fail (printf "brands: %s is there twice; name it once, with all its venues." $brand.brand) }}
{{- end }}
{{- $_ := set $seen $brand.brand true }}
{{- $ways := list }}
{{- range $key := list "existingSecret" "client_secret" "token" }}
{{- if hasKey $brand $key }}{{ $ways = append $ways $key }}{{ end }}
{{- end }}
{{- if ne (len $ways) 1 }}
{{- fail (printf "brands: %s needs exactly one of existingSecret, client_secret and token; it has %s." $brand.brand (join " and " $ways | default "none")) }}
{{- end }}
{{- if and $brand.secretKeys (not $brand.existingSecret) }}
{{- fail (printf "brands: %s has secretKeys, which are those of an existingSecret: set that too." $brand.brand) }}
{{- end }}
{{- if not $brand.existingSecret }}
{{- $name := include "clopos-exporter.brandSecretName" (dict "root" $ "brand" $brand) }}
{{- if hasKey $secrets $name }}
{{- fail (printf "brands: %s and %s would share the Secret %s; give one of them an existingSecret." (get $secrets $name) $brand.brand $name) }}
{{- end }}
{{- $_ := set $secrets $name $brand.brand }}
{{- end }}
{{- end }}
{{- if and .Values.demo .Values.brands }}
{{- fail "demo runs against the simulator and needs no brands: set one or the other." }}
{{- end }}
{{- if and .Values.demo (or .Values.web.config .Values.web.existingSecret .Values.web.externalUrl (ne .Values.web.telemetryPath "/metrics")) }}
{{- fail "demo serves plain HTTP with /metrics at its place: of web, only the port can be set." }}
{{- end }}
{{- if .Values.sharding.enabled }}
{{- if .Values.demo }}
{{- fail "demo has a single pod: switch sharding off." }}
{{- end }}
{{- if gt (int .Values.sharding.shards) (len .Values.brands) }}
{{- fail (printf "sharding.shards is %d, but there are %d brands: a brand is never divided, so a pod would have nothing to do." (int .Values.sharding.shards) (len .Values.brands)) }}
{{- end }}
{{- if .Values.persistence.existingClaim }}
{{- fail "persistence.existingClaim cannot be shared by the shards: leave it out, and each pod gets a claim of its own." }}
{{- end }}
{{- if and .Values.service.enabled (ne .Values.service.type "ClusterIP") }}
{{- fail (printf "service.type %s cannot be used with sharding: its Service is headless, for each pod knows only its own brands." .Values.service.type) }}
{{- end }}
{{- if not .Values.service.enabled }}
{{- fail "sharding needs service.enabled: the StatefulSet's pods take their names from the Service." }}
{{- end }}
{{- else if .Values.podDisruptionBudget.enabled }}
{{- fail "podDisruptionBudget needs sharding.enabled: for a single pod it would block every node drain." }}
{{- end }}
{{- if and .Values.web.config .Values.web.existingSecret }}
{{- fail "web.config and web.existingSecret exclude each other: set one of them." }}
{{- end }}
{{- if and (hasKey .Values.web.config "tls_server_config") (ne .Values.web.scheme "https") }}
{{- fail "web.config has tls_server_config: set web.scheme to https, for probes and monitors." }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.claim" -}}
{{- with .Values.persistence -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}
{{- end }}

{{/* What the two monitors' endpoints share: (dict "root" $ "monitor" .Values.serviceMonitor) */}}
{{- define "clopos-exporter.endpoint" -}}
- port: http
  path: {{ .root.Values.web.telemetryPath }}
  scheme: {{ .root.Values.web.scheme }}
  {{- with .monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .monitor.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- include "clopos-exporter.scrape" .monitor | nindent 2 }}
  {{- with .monitor.relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "clopos-exporter.scrape" -}}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
