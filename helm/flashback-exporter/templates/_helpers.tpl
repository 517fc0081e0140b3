{{/* Names, labels, and small questions that several objects ask. */}}

{{- define "flashback-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters: a StatefulSet's name and a revision's hash make a label, which may have 63. No dots,
which releases may have: a Service cannot, and a pod's host name would end at the first one. */}}
{{- define "flashback-exporter.fullname" -}}
{{- $name := include "flashback-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes in an object's life: a StatefulSet's selector cannot. */}}
{{- define "flashback-exporter.instanceLabels" -}}
app.kubernetes.io/name: {{ include "flashback-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "flashback-exporter.selectorLabels" -}}
{{ include "flashback-exporter.instanceLabels" . }}
app.kubernetes.io/component: exporter
{{- end -}}

{{- define "flashback-exporter.testLabels" -}}
{{ include "flashback-exporter.instanceLabels" . }}
app.kubernetes.io/component: test
{{- end -}}

{{/* What an object is labelled with besides its own: (list root own). Later ones win. */}}
{{- define "flashback-exporter.moreLabels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with mergeOverwrite dict $root.Values.commonLabels (index . 1) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An object's metadata: (list root name labels annotations). */}}
{{- define "flashback-exporter.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "flashback-exporter.selectorLabels" $root | nindent 2 }}
  {{- include "flashback-exporter.moreLabels" (list $root (index . 2)) | nindent 2 }}
{{- with index . 3 }}
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

{{- define "flashback-exporter.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" where an object of the operator is wanted: (list root enabled kind). */}}
{{- define "flashback-exporter.wanted" -}}
{{- $root := index . 0 -}}
{{- $enabled := index . 1 | toString -}}
{{- if eq $enabled "auto" -}}
{{- $root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 2)) | ternary "true" "" -}}
{{- else -}}
{{- eq $enabled "true" | ternary "true" "" -}}
{{- end -}}
{{- end -}}

{{/* The label "job" of the pods: the one that the rules look for, whatever the release is called. */}}
{{- define "flashback-exporter.job" -}}
{{- default (include "flashback-exporter.fullname" .) (default dict .Values.rules.settings).exporter_job -}}
{{- end -}}

{{- define "flashback-exporter.scheme" -}}
{{- .Values.web.tls | ternary "https" "http" -}}
{{- end -}}

{{/* What a probe asks: (list root path). The kubelet has no client certificate: then only the port counts. */}}
{{- define "flashback-exporter.probe" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.web.clientCertificates -}}
tcpSocket:
  port: metrics
{{- else -}}
httpGet:
  path: {{ index . 1 }}
  port: metrics
  scheme: {{ include "flashback-exporter.scheme" $root | upper }}
{{- end -}}
{{- end -}}
