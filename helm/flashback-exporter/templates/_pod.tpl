{{/* The pod of a shard: the exporter's container, flags and files. */}}

{{/* The chart's version is not a label of the pods: a new version of the chart alone would restart them. */}}
{{- define "flashback-exporter.podTemplate" -}}
metadata:
  labels:
    {{- include "flashback-exporter.selectorLabels" . | nindent 4 }}
    {{- with mergeOverwrite dict .Values.commonLabels .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- $own := dict "kubectl.kubernetes.io/default-container" "exporter" }}
    {{- if not (include "flashback-exporter.reloads" .) }}
    {{- $_ := set $own "checksum/config" (include "flashback-exporter.config" . | sha256sum) }}
    {{- end }}
    {{- toYaml (mergeOverwrite $own .Values.podAnnotations) | nindent 4 }}
spec:
  {{- include "flashback-exporter.pod" . | nindent 2 }}
{{- end -}}

{{- define "flashback-exporter.pod" -}}
{{ include "flashback-exporter.podBasics" . }}
terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
{{- with .Values.initContainers }}
initContainers:
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

{{/* What the pod of `helm test` and those of the exporter have in common. */}}
{{- define "flashback-exporter.podBasics" -}}
serviceAccountName: {{ include "flashback-exporter.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "flashback-exporter.imagePullSecrets" . }}
{{ . }}
{{- end }}
{{- range $key := list "dnsPolicy" "dnsConfig" "hostAliases" }}
{{- with get $.Values $key }}
{{ dict $key . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "flashback-exporter.container" -}}
name: exporter
image: {{ include "flashback-exporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [flashback-exporter]
args:
  {{- include "flashback-exporter.flags" . | nindent 2 }}
{{- with include "flashback-exporter.env" . | fromYamlArray }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: metrics
    containerPort: {{ int64 .Values.web.port }}
    protocol: TCP
{{- include "flashback-exporter.probe" (list . "startup" "/-/healthy") }}
{{- include "flashback-exporter.probe" (list . "liveness" "/-/healthy") }}
{{- include "flashback-exporter.probe" (list . "readiness" "/-/ready") }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "flashback-exporter.limits" . }}
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

{{/* Security context and resources of a container. */}}
{{- define "flashback-exporter.limits" -}}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* env, with numbers as texts, then extraEnv, which may refer to env. */}}
{{- define "flashback-exporter.env" -}}
{{- $env := list -}}
{{- range $name, $value := .Values.env -}}
{{- if kindIs "map" $value -}}
{{- $env = append $env (mergeOverwrite (dict "name" $name) $value) -}}
{{- else -}}
{{- $env = append $env (dict "name" $name "value" (kindIs "string" $value | ternary $value (toJson $value))) -}}
{{- end -}}
{{- end -}}
{{- concat $env .Values.extraEnv | toYaml -}}
{{- end -}}

{{/* Pod names of a Deployment have no ordinal: its one shard is 0. */}}
{{- define "flashback-exporter.flags" -}}
{{- $flags := list
  (printf "--config.file=%s/config.yaml" (include "flashback-exporter.configDirectory" .))
  (printf "--config.auto-reload-interval=%v" (default "0" .Values.configReloadInterval))
  (printf "--shard.ordinal=%s" (gt (int .Values.shards) 1 | ternary "auto" "0"))
  (printf "--shard.total=%d" (int64 .Values.shards))
  (printf "--web.listen-address=:%d" (int64 .Values.web.port))
  (printf "--web.telemetry-path=%s" .Values.web.telemetryPath)
-}}
{{- if .Values.web.existingSecret -}}
{{- $flags = concat $flags (list (printf "--web.config.file=%s/%s" (include "flashback-exporter.webDirectory" .) .Values.web.key) "--web.health-without-auth") -}}
{{- end -}}
{{- $flags = concat $flags (list (printf "--log.level=%s" .Values.log.level) (printf "--log.format=%s" .Values.log.format)) -}}
{{- concat $flags .Values.extraArgs | toYaml -}}
{{- end -}}

{{/* One projected volume, so that configuration and secrets are in one directory and change atomically. */}}
{{- define "flashback-exporter.volumes" -}}
- name: config
  projected:
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ include "flashback-exporter.fullname" . | quote }}
      {{- with include "flashback-exporter.credentialsSecret" . }}
      - secret:
          name: {{ . | quote }}
      {{- end }}
      {{- with .Values.configSources }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- with .Values.web.existingSecret }}
- name: web
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where pods run; for the pod of `helm test`, too. */}}
{{- define "flashback-exporter.placement" -}}
{{- range $key := list "priorityClassName" "runtimeClassName" "schedulerName" "nodeSelector" "tolerations" }}
{{- with get $.Values $key }}
{{ dict $key . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How shards are spread. */}}
{{- define "flashback-exporter.spread" -}}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
{{- $selector := include "flashback-exporter.selectorLabels" $ | fromYaml }}
topologySpreadConstraints:
  {{- range . }}
  - {{ hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" (dict "matchLabels" $selector)) .) | toYaml | indent 4 | trim }}
  {{- end }}
{{- end }}
{{- end -}}
