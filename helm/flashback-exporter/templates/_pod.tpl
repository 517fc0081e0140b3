{{/* The pod of a shard: the exporter's container, its flags, its files. */}}

{{- define "flashback-exporter.pod" -}}
serviceAccountName: {{ include "flashback-exporter.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - {{ include "flashback-exporter.container" . | indent 4 | trim }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  {{- include "flashback-exporter.volumes" . | nindent 2 }}
{{- include "flashback-exporter.placement" . }}
{{- include "flashback-exporter.spread" . }}
{{- end -}}

{{- define "flashback-exporter.container" -}}
name: exporter
image: {{ include "flashback-exporter.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [flashback-exporter]
args:
  {{- include "flashback-exporter.flags" . | nindent 2 }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: metrics
    containerPort: {{ .Values.web.port }}
    protocol: TCP
startupProbe:
  {{- include "flashback-exporter.probe" (list . "/-/healthy") | nindent 2 }}
  {{- toYaml .Values.probes.startup | nindent 2 }}
livenessProbe:
  {{- include "flashback-exporter.probe" (list . "/-/healthy") | nindent 2 }}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
readinessProbe:
  {{- include "flashback-exporter.probe" (list . "/-/ready") | nindent 2 }}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: {{ include "flashback-exporter.configDirectory" . }}
    readOnly: true
  {{- if .Values.web.existingSecret }}
  - name: web
    mountPath: {{ include "flashback-exporter.webDirectory" . }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "flashback-exporter.flags" -}}
- --config.file={{ include "flashback-exporter.configDirectory" . }}/config.yaml
- --config.auto-reload-interval={{ .Values.configReloadInterval }}
- --shard.ordinal=auto
- --shard.total={{ .Values.shards }}
- --web.listen-address=:{{ .Values.web.port }}
- --web.telemetry-path={{ .Values.web.telemetryPath }}
{{- if .Values.web.existingSecret }}
- --web.config.file={{ include "flashback-exporter.webDirectory" . }}/{{ .Values.web.key }}
- --web.health-without-auth
{{- end }}
- --log.level={{ .Values.log.level }}
- --log.format={{ .Values.log.format }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One projected volume: configuration and secrets lie side by side, and change at one stroke. */}}
{{- define "flashback-exporter.volumes" -}}
- name: config
  projected:
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ include "flashback-exporter.fullname" . }}
      {{- with include "flashback-exporter.credentialsSecret" . }}
      - secret:
          name: {{ . }}
      {{- end }}
      {{- with .Values.configSources }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- with .Values.web.existingSecret }}
- name: web
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* On which nodes pods may run. */}}
{{- define "flashback-exporter.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* How shards keep away from each other. */}}
{{- define "flashback-exporter.spread" -}}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
{{- $selector := include "flashback-exporter.selectorLabels" $ | fromYaml }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml (mergeOverwrite (dict "labelSelector" (dict "matchLabels" $selector)) .) | indent 4 | trim }}
  {{- end }}
{{- end }}
{{- end -}}
