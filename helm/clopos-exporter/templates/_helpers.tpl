{{- define "clopos-exporter.name" -}}
{{- tpl .Values.nameOverride . | default .Chart.Name | trunc 63 | trimAll "-" }}
{{- end }}

{{/* 50 characters leave room for what is appended: `-headless`, a StatefulSet's revision. A release may have dots. */}}
{{- define "clopos-exporter.fullname" -}}
{{- $name := tpl .Values.nameOverride . | default .Chart.Name }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- tpl .Values.fullnameOverride . | default $full | replace "." "-" | trunc 50 | trimAll "-" }}
{{- end }}

{{- define "clopos-exporter.namespace" -}}
{{- tpl .Values.namespaceOverride . | default .Release.Namespace }}
{{- end }}

{{- define "clopos-exporter.serviceAccountName" -}}
{{- tpl .Values.serviceAccount.name . | default (.Values.serviceAccount.create | ternary (include "clopos-exporter.fullname" .) "default") }}
{{- end }}

{{/* What a workload selects by; it can never be changed. Services and policies add a component. */}}
{{- define "clopos-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "clopos-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "clopos-exporter.podLabels" -}}
{{ include "clopos-exporter.selectorLabels" . }}
app.kubernetes.io/component: exporter
{{- end }}

{{/* Text as the value of a label. */}}
{{- define "clopos-exporter.labelValue" -}}
{{- regexReplaceAll "[^A-Za-z0-9_.-]+" . "_" | trunc 63 | trimAll "-_." }}
{{- end }}

{{/* Every label once; nothing overrides what is selected by. (dict "root" $ "component" "" "labels" (list dict ...)) */}}
{{- define "clopos-exporter.labels" -}}
{{- $root := .root }}
{{- $labels := dict
  "helm.sh/chart" (include "clopos-exporter.labelValue" (printf "%s-%s" $root.Chart.Name $root.Chart.Version))
  "app.kubernetes.io/version" (include "clopos-exporter.labelValue" ($root.Values.image.tag | default $root.Chart.AppVersion))
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" (include "clopos-exporter.name" $root) }}
{{- range prepend .labels $root.Values.commonLabels }}
{{- $labels = mergeOverwrite $labels (. | default dict) }}
{{- end }}
{{- $labels = mergeOverwrite $labels (include "clopos-exporter.selectorLabels" $root | fromYaml) }}
{{- $_ := set $labels "app.kubernetes.io/component" (.component | default "exporter") }}
{{- tpl (toYaml $labels) $root }}
{{- end }}

{{/*
Name, namespace, labels and annotations of an object:
(dict "root" $ "suffix" "" "component" "" "values" .Values.x "annotations" dict)
In a namespace that is not the release's, the name says whose it is: other releases put theirs there too.
*/}}
{{- define "clopos-exporter.metadata" -}}
{{- $root := .root }}
{{- $values := .values | default dict }}
{{- $home := include "clopos-exporter.namespace" $root }}
{{- $namespace := tpl ($values.namespace | default "") $root | default $home }}
{{- $name := list (include "clopos-exporter.fullname" $root) (eq $namespace $home | ternary "" $home) (.suffix | default "") }}
{{- $annotations := mergeOverwrite (deepCopy $root.Values.commonAnnotations) ($values.annotations | default dict) (.annotations | default dict) -}}
name: {{ .name | default ($name | compact | join "-") }}
namespace: {{ $namespace }}
labels:
  {{- include "clopos-exporter.labels" (dict "root" $root "component" .component "labels" (list $values.labels)) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
{{- end }}

{{- define "clopos-exporter.image" -}}
{{- with .Values.image -}}
{{- with $.Values.global.imageRegistry | default .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* Whether the state is in a database that several processes share: `true`, or nothing. */}}
{{- define "clopos-exporter.shared" -}}
{{- if or .Values.state.url .Values.state.existingSecret (.Values.config.state | default dict).url_file }}true{{ end }}
{{- end }}

{{- define "clopos-exporter.pods" -}}
{{- .Values.sharding.enabled | ternary .Values.sharding.shards .Values.replicas }}
{{- end }}

{{/* The URL for people: what is set, or else the first host of Ingress or HTTPRoute. */}}
{{- define "clopos-exporter.externalUrl" -}}
{{- if .Values.web.externalUrl }}
{{- tpl .Values.web.externalUrl . }}
{{- else if .Values.ingress.enabled }}
{{- printf "%s://%s%s" (empty .Values.ingress.tls | ternary "http" "https") (tpl (first .Values.ingress.hosts) .) .Values.ingress.path }}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames }}
{{- printf "https://%s%s" (tpl (first .Values.httpRoute.hostnames) .) .Values.httpRoute.path }}
{{- end }}
{{- end }}

{{/* A path as the exporter serves it: below the route prefix, or else the path of the external URL, as in Prometheus. */}}
{{- define "clopos-exporter.path" -}}
{{- $external := include "clopos-exporter.externalUrl" .root }}
{{- .root.Values.web.routePrefix | default (regexReplaceAll "^[a-z]+://[^/]*" $external "") | trimSuffix "/" }}{{ .path }}
{{- end }}

{{/* The port of a URL: the one it names, or else its scheme's. */}}
{{- define "clopos-exporter.portOf" -}}
{{- $named := regexFind ":[0-9]+$" (regexReplaceAll "^([a-z]+://[^/?]*).*$" . "${1}") | trimPrefix ":" }}
{{- $named | default (get (dict "http" 80 "https" 443 "postgresql" 5432 "postgres" 5432) (regexFind "^[a-z]+" .)) | default 443 }}
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
{{- $web := .root.Values.web }}
{{- $endpoint := dict "port" $web.scheme "scheme" $web.scheme }}
{{- $_ := set $endpoint "path" (include "clopos-exporter.path" (dict "root" .root "path" $web.telemetryPath)) }}
{{- range $key := list "interval" "scrapeTimeout" "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
{{- with index $.monitor $key }}{{ $_ := set $endpoint $key . }}{{ end }}
{{- end }}
{{- list (mergeOverwrite $endpoint (deepCopy .monitor.endpoint)) | toYaml }}
{{- end }}
