{{/* Names, labels and conditions that several objects share. */}}

{{/* Without dots, which a Service's name cannot have; a pod's host name would end at the first one. */}}
{{- define "flashback-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | lower | replace "_" "-" | replace "." "-" | trunc 52 | trimAll "-" -}}
{{- end -}}

{{/* At most 52 characters: a StatefulSet's name plus the hash of a revision is a label value, which may have 63.
A Service's name must begin with a letter, a release's need not. */}}
{{- define "flashback-exporter.fullname" -}}
{{- $name := include "flashback-exporter.name" . -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if not (regexMatch "^[a-z]" $release) -}}
{{- $name = printf "%s-%s" $name $release -}}
{{- else if contains $name $release -}}
{{- $name = $release -}}
{{- else -}}
{{- $name = printf "%s-%s" $release $name -}}
{{- end -}}
{{- $name | trunc 52 | trimAll "-" -}}
{{- end -}}

{{- define "flashback-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The labels that select the objects of a component: (list root component). They do not depend on values,
since the selector of a Deployment or StatefulSet is immutable. */}}
{{- define "flashback-exporter.labelsOf" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name | trunc 63 | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "flashback-exporter.selectorLabels" -}}
{{- include "flashback-exporter.labelsOf" (list . "exporter") -}}
{{- end -}}

{{/* An object's metadata: (dict "root" …), optionally with "name", "namespace", "component", "labels" and
"annotations". Outside the release's namespace, names end in that namespace, so that releases of the same name
do not conflict. */}}
{{- define "flashback-exporter.metadata" -}}
{{- $root := .root -}}
{{- $own := include "flashback-exporter.namespace" $root -}}
{{- $namespace := default $own .namespace -}}
{{- $name := default (include "flashback-exporter.fullname" $root) .name -}}
{{- if ne $namespace $own -}}
{{- $name = printf "%s-%s" $name $own -}}
{{- end -}}
name: {{ $name | quote }}
namespace: {{ $namespace | quote }}
labels:
  {{- include "flashback-exporter.labelsOf" (list $root (default "exporter" .component)) | nindent 2 }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service | quote }}
  {{- with mergeOverwrite dict $root.Values.commonLabels (default dict .labels) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "flashback-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "flashback-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A registry replaces that of the repository, which is a first part with a dot or a port. */}}
{{- define "flashback-exporter.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with default (.Values.global | default dict).imageRegistry .Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The chart's own secrets and the global ones, which may be plain names. */}}
{{- define "flashback-exporter.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat .Values.imagePullSecrets ((.Values.global | default dict).imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "map" . | ternary . (dict "name" .)) -}}
{{- end -}}
{{- with uniq $secrets -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* "true" if an object of the Prometheus operator is to be created: (list root enabled kind). */}}
{{- define "flashback-exporter.wanted" -}}
{{- $root := index . 0 -}}
{{- $enabled := index . 1 | toString -}}
{{- if eq $enabled "auto" -}}
{{- $root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 2)) | ternary "true" "" -}}
{{- else -}}
{{- eq $enabled "true" | ternary "true" "" -}}
{{- end -}}
{{- end -}}

{{/* The label "job" of the targets, which the rules select. serviceMonitor.jobLabel names a label of the Service
whose value it is, as in the Prometheus operator. */}}
{{- define "flashback-exporter.job" -}}
{{- $labels := mergeOverwrite (include "flashback-exporter.selectorLabels" . | fromYaml) .Values.commonLabels .Values.service.labels -}}
{{- $job := default (include "flashback-exporter.fullname" .) (get $labels .Values.serviceMonitor.jobLabel) -}}
{{- default $job .Values.rules.settings.exporter_job -}}
{{- end -}}

{{/* A scalar as text; toString writes large numbers as 1e+06. */}}
{{- define "flashback-exporter.text" -}}
{{- kindIs "string" . | ternary . (toJson .) -}}
{{- end -}}

{{/* Kubernetes takes a percentage as text, but a number as number only. */}}
{{- define "flashback-exporter.numberOrShare" -}}
{{- $text := include "flashback-exporter.text" . -}}
{{- contains "%" $text | ternary (quote $text) $text -}}
{{- end -}}

{{- define "flashback-exporter.scheme" -}}
{{- .Values.web.tls | ternary "https" "http" -}}
{{- end -}}

{{/* "true" if the exporter reloads its configuration when it changes. */}}
{{- define "flashback-exporter.reloads" -}}
{{- regexMatch "[1-9]" (include "flashback-exporter.text" .Values.configReloadInterval) | ternary "true" "" -}}
{{- end -}}

{{/* "true" if an Ingress or HTTPRoute publishes the status page. */}}
{{- define "flashback-exporter.published" -}}
{{- or .Values.ingress.enabled .Values.httpRoute.enabled | ternary "true" "" -}}
{{- end -}}

{{/* A probe: (list root name path). If client certificates are required it only checks the port: the kubelet
has none. */}}
{{- define "flashback-exporter.probe" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- with get $root.Values.probes $name }}
{{ $name }}Probe:
  {{- if $root.Values.web.clientCertificates }}
  tcpSocket:
    port: metrics
  {{- else }}
  httpGet:
    path: {{ index $ 2 }}
    port: metrics
    scheme: {{ include "flashback-exporter.scheme" $root | upper }}
  {{- end }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* How pods are replaced: (list strategy default-type). Types that have no rollingUpdate need the null: an
upgrade would otherwise keep the one of an earlier release, which the API server then refuses. */}}
{{- define "flashback-exporter.strategy" -}}
{{- $strategy := index . 0 -}}
{{- $type := default (index . 1) $strategy.type -}}
type: {{ $type }}
{{- if ne $type "RollingUpdate" }}
rollingUpdate: null
{{- else }}
{{- with $strategy.rollingUpdate }}
rollingUpdate:
  {{- range $key, $value := . }}
  {{ $key }}: {{ include "flashback-exporter.numberOrShare" $value }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
