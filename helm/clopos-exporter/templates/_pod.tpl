{{- define "clopos-exporter.podTemplate" -}}
metadata:
  labels:
    {{- include "clopos-exporter.selectorLabels" . | nindent 4 }}
    {{- with mergeOverwrite (deepCopy .Values.commonLabels) .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: exporter
    checksum/config: {{ include "clopos-exporter.config" . | sha256sum }}
    checksum/secrets: {{ dict "brands" .Values.brands "web" .Values.web.config | toJson | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
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
        - --web.telemetry-path={{ .Values.web.telemetryPath }}
        {{- with .Values.web.externalUrl }}
        - --web.external-url={{ . }}
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
        - name: http
          containerPort: {{ .Values.web.port }}
      startupProbe:
        {{- include "clopos-exporter.probe" (dict "root" . "probe" .Values.startupProbe "path" "/-/healthy") | nindent 8 }}
      livenessProbe:
        {{- include "clopos-exporter.probe" (dict "root" . "probe" .Values.livenessProbe "path" "/-/healthy") | nindent 8 }}
      readinessProbe:
        {{- include "clopos-exporter.probe" (dict "root" . "probe" .Values.readinessProbe "path" "/-/ready") | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: state
          mountPath: /var/lib/clopos-exporter
        - name: config
          mountPath: /etc/clopos-exporter/config
          readOnly: true
        {{- range $index, $brand := .Values.brands }}
        - name: brand-{{ $index }}
          mountPath: /etc/clopos-exporter/brands/{{ $brand.brand }}
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
    {{- range $index, $brand := .Values.brands }}
    - name: brand-{{ $index }}
      secret:
        secretName: {{ include "clopos-exporter.brandSecretName" (dict "root" $ "brand" $brand) }}
        defaultMode: 0440
        items:
          {{- range $path, $key := include "clopos-exporter.brandSecretKeys" $brand | fromYaml }}
          - key: {{ $key }}
            path: {{ $path }}
          {{- end }}
    {{- end }}
    {{- if or .Values.web.config .Values.web.existingSecret }}
    - name: web
      secret:
        secretName: {{ .Values.web.existingSecret | default (printf "%s-web" (include "clopos-exporter.fullname" .)) }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.web.tlsSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- else if not .Values.sharding.enabled }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim | default (include "clopos-exporter.fullname" .) }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $selector := dict "matchLabels" (include "clopos-exporter.selectorLabels" $ | fromYaml) }}
    - {{- toYaml (merge (deepCopy .) (dict "labelSelector" $selector)) | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- range $key := list "affinity" "dnsConfig" "dnsPolicy" "hostAliases" "nodeSelector" "priorityClassName" "runtimeClassName" "tolerations" }}
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
{{- with .Values.proxy.http }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
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
{{- $http := dict "path" .path "port" "http" "scheme" (upper .root.Values.web.scheme) }}
{{- $_ := set $probe "httpGet" (merge ($probe.httpGet | default dict) $http) }}
{{- end }}
{{- toYaml $probe }}
{{- end }}
