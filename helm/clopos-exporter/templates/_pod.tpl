{{- define "clopos-exporter.podTemplate" -}}
metadata:
  {{- $secrets := include "clopos-exporter.secrets" . | fromYaml }}
  {{- $labels := mergeOverwrite (deepCopy .Values.commonLabels) .Values.podLabels (include "clopos-exporter.podLabels" . | fromYaml) }}
  {{- $config := include "clopos-exporter.config" . }}
  {{- /* What the exporter reloads replaces no pod; where its state is, it reads at its start only. */}}
  {{- if .Values.reload.interval }}{{ $config = pick (fromYaml $config) "state" | toYaml }}{{ end }}
  {{- $own := dict "kubectl.kubernetes.io/default-container" "exporter" "checksum/config" (sha256sum $config) }}
  {{- if include "clopos-exporter.restartingSecrets" . | fromYaml }}
  {{- $_ := set $own "clopos-exporter/secrets-revision" (include "clopos-exporter.secretsRevision" .) }}
  {{- end }}
  labels:
    {{- tpl (toYaml $labels) . | nindent 4 }}
  annotations:
    {{- tpl (mergeOverwrite $own .Values.commonAnnotations .Values.podAnnotations | toYaml) . | nindent 4 }}
spec:
  serviceAccountName: {{ include "clopos-exporter.serviceAccountName" . }}
  automountServiceAccountToken: false
  # The variables Kubernetes makes of a Service's name begin like the exporter's own.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "clopos-exporter.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      args:
        {{- if .Values.demo }}
        - demo
        {{- else }}
        - serve
        - --config.file=/etc/clopos-exporter/config/clopos-exporter.yaml
        {{- with .Values.reload.interval }}
        - --config.auto-reload-interval={{ . }}
        {{- end }}
        - --web.telemetry-path={{ .Values.web.telemetryPath }}
        {{- with include "clopos-exporter.externalUrl" . }}
        - --web.external-url={{ . }}
        {{- end }}
        {{- with .Values.web.routePrefix }}
        - --web.route-prefix={{ . }}
        {{- end }}
        {{- range .Values.web.allowedHosts }}
        - --web.allowed-host={{ tpl . $ }}
        {{- end }}
        {{- if or .Values.web.config .Values.web.existingSecret }}
        - --web.config.file=/etc/clopos-exporter/web/web-config.yaml
        {{- end }}
        {{- end }}
        - --web.listen-address=:{{ .Values.web.port }}
        - --log.level={{ .Values.log.level }}
        - --log.format={{ .Values.log.format }}
        {{- if .Values.sharding.enabled }}
        # Which shard a pod is, the exporter reads from its name.
        - --total-shards={{ .Values.sharding.shards }}
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with include "clopos-exporter.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: {{ .Values.web.scheme }}
          containerPort: {{ .Values.web.port }}
      {{- range $name, $path := dict "startupProbe" "/-/healthy" "livenessProbe" "/-/healthy" "readinessProbe" "/-/ready" }}
      {{- with index $.Values $name }}
      {{- if ne (get . "enabled" | toString) "false" }}
      {{ $name }}:
        {{- include "clopos-exporter.probe" (dict "root" $ "probe" (omit . "enabled") "path" $path) | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- if not (include "clopos-exporter.shared" .) }}
        - name: state
          mountPath: /var/lib/clopos-exporter
        {{- end }}
        - name: config
          mountPath: /etc/clopos-exporter/config
          readOnly: true
        {{- if $secrets.sources }}
        - name: secrets
          mountPath: /etc/clopos-exporter/secrets
          readOnly: true
        {{- end }}
        {{- if or .Values.web.config .Values.web.existingSecret }}
        - name: web
          mountPath: /etc/clopos-exporter/web
          readOnly: true
        {{- end }}
        {{- if .Values.web.tlsSecret }}
        - name: tls
          mountPath: /etc/clopos-exporter/tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "clopos-exporter.fullname" . }}
    {{- with $secrets.sources }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- toYaml . | nindent 10 }}
    {{- end }}
    {{- if or .Values.web.config .Values.web.existingSecret }}
    - name: web
      secret:
        {{- if .Values.web.config }}
        secretName: {{ include "clopos-exporter.fullname" . }}
        items: [{key: web-config.yaml, path: web-config.yaml}]
        {{- else }}
        secretName: {{ tpl .Values.web.existingSecret . }}
        {{- end }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.web.tlsSecret }}
    - name: tls
      secret:
        secretName: {{ tpl . $ }}
        defaultMode: 0440
    {{- end }}
    {{- if include "clopos-exporter.shared" . }}
    {{- else if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- else if not .Values.sharding.enabled }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ tpl .Values.persistence.existingClaim . | default (include "clopos-exporter.fullname" .) }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $selector := dict "matchLabels" (include "clopos-exporter.podLabels" $ | fromYaml) }}
    - {{- toYaml (merge (deepCopy .) (dict "labelSelector" $selector)) | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- if .Values.affinity }}
  affinity:
    {{- toYaml .Values.affinity | nindent 4 }}
  {{- else if gt (int (include "clopos-exporter.pods" .)) 1 }}
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "clopos-exporter.podLabels" . | nindent 16 }}
  {{- end }}
  {{- range $key := list "dnsConfig" "dnsPolicy" "hostAliases" "nodeSelector" "priorityClassName" "runtimeClassName" "tolerations" }}
  {{- with index $.Values $key }}
  {{ dict $key . | toYaml | nindent 2 | trim }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "clopos-exporter.env" -}}
{{- if .Values.sharding.enabled }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- range $key, $name := dict "http" "HTTP_PROXY" "https" "HTTPS_PROXY" }}
{{- if $.Values.proxy.existingSecret }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ tpl $.Values.proxy.existingSecret $ }}
      key: {{ $key }}
      optional: true
{{- else }}
{{- with get $.Values.proxy $key }}
- name: {{ $name }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.proxy.noProxy }}
- name: NO_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The health paths answer without credentials; a probe with a handler of its own is left as it is. */}}
{{- define "clopos-exporter.probe" -}}
{{- $probe := deepCopy .probe }}
{{- if not (or (hasKey $probe "exec") (hasKey $probe "tcpSocket") (hasKey $probe "grpc")) }}
{{- $scheme := .root.Values.web.scheme }}
{{- $http := dict "path" (include "clopos-exporter.path" .) "port" $scheme "scheme" (upper $scheme) }}
{{- $_ := set $probe "httpGet" (merge ($probe.httpGet | default dict) $http) }}
{{- end }}
{{- toYaml $probe }}
{{- end }}
