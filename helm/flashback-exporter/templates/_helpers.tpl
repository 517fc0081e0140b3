{{/* Names, labels, and small questions that several objects ask. */}}

{{/* No dots, which releases may have: a Service cannot, and a pod's host name would end at the first one. */}}
{{- define "flashback-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | lower | replace "_" "-" | replace "." "-" | trunc 52 | trimAll "-" -}}
{{- end -}}

{{/* 52 characters: a StatefulSet's name and a revision's hash make a label, which may have 63. A Service's
name begins with a letter, which a release's need not. */}}
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

{{/* What selects the objects of a component: (list root component). Selectors of a Deployment and a
StatefulSet cannot change, so nothing that values can change is in here. */}}
{{- define "flashback-exporter.labelsOf" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name | trunc 63 | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "flashback-exporter.selectorLabels" -}}
{{- include "flashback-exporter.labelsOf" (list . "exporter") -}}
{{- end -}}

{{/* An object's metadata: (dict "root" …), and where it is not as usual "name", "namespace", "component",
"labels", "annotations". Two releases of one name may meet in a namespace that is not their own: there,
their objects are called after their namespaces, too. */}}
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

{{/* A registry takes the place of the one in the repository: what begins with a host's name. */}}
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

{{/* The chart's own and those of all charts, which may be names alone. */}}
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

{{/* The label "job" of the pods, whatever the release is called: the one that the rules look for. As the
operator has it, serviceMonitor.jobLabel names a label of the Service whose value it is. */}}
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

{{/* "true" where the exporter looks for changes of its configuration by itself. */}}
{{- define "flashback-exporter.reloads" -}}
{{- regexMatch "[1-9]" (include "flashback-exporter.text" .Values.configReloadInterval) | ternary "true" "" -}}
{{- end -}}

{{/* "true" where the page for people is reached from outside. */}}
{{- define "flashback-exporter.published" -}}
{{- or .Values.ingress.enabled .Values.httpRoute.enabled | ternary "true" "" -}}
{{- end -}}

{{/* A probe: (list root name path). The kubelet has no client certificate: then only the port counts. */}}
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
