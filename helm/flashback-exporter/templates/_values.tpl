{{/* Values as the templates read them: complete, with their templates filled in, and checked. */}}

{{/* Every file begins with this: which one Helm takes first is not said. Values are the same for all. */}}
{{- define "flashback-exporter.prepare" -}}
{{- if not .Values.prepared -}}
{{- include "flashback-exporter.complete" (list (.Files.Get "files/defaults.json" | fromJson) .Values) -}}
{{- range $key, $value := .Values -}}
{{- /* Texts of these may have braces of their own; config is the exporter's to read, nulls and all. */ -}}
{{- if not (has $key (list "config" "account" "credentials" "global")) -}}
{{- $box := dict "value" $value -}}
{{- include "flashback-exporter.expand" (list $ $box (ne $key "rules")) -}}
{{- $_ := set $.Values $key $box.value -}}
{{- end -}}
{{- end -}}
{{- $_ := set .Values.credentials "existingSecret" (tpl .Values.credentials.existingSecret .) -}}
{{- with include "flashback-exporter.problems" . | trim -}}
{{- fail (printf "the values cannot be used:\n%s" .) -}}
{{- end -}}
{{- $_ := set .Values "prepared" true -}}
{{- end -}}
{{- end -}}

{{/* Puts in what is missing or null, which Helm takes away: (list defaults values). */}}
{{- define "flashback-exporter.complete" -}}
{{- $values := index . 1 -}}
{{- range $key, $default := index . 0 -}}
{{- if kindIs "invalid" (index $values $key) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) $default -}}
{{- include "flashback-exporter.complete" (list $default (index $values $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Replaces a value by itself without nulls and, on demand, with templates filled in: (list root (dict
"value" …) fill). Text by text, so what is put in can be any text, and stays one. */}}
{{- define "flashback-exporter.expand" -}}
{{- $root := index . 0 -}}
{{- $box := index . 1 -}}
{{- $fill := index . 2 -}}
{{- if kindIs "map" $box.value -}}
{{- $map := dict -}}
{{- range $key, $value := $box.value -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $inner := dict "value" $value -}}
{{- include "flashback-exporter.expand" (list $root $inner $fill) -}}
{{- $_ := set $map $key $inner.value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $box "value" $map -}}
{{- else if kindIs "slice" $box.value -}}
{{- $list := list -}}
{{- range $value := $box.value -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $inner := dict "value" $value -}}
{{- include "flashback-exporter.expand" (list $root $inner $fill) -}}
{{- $list = append $list $inner.value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $box "value" $list -}}
{{- else if and $fill (kindIs "string" $box.value) -}}
{{- if contains "{{" $box.value -}}
{{- $_ := set $box "value" (tpl $box.value $root) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Everything that cannot work, a line each: where, what, what to write. */}}
{{- define "flashback-exporter.problems" -}}
{{- include "flashback-exporter.problemsOfTexts" . -}}
{{- include "flashback-exporter.problemsOfChoices" . -}}
{{- include "flashback-exporter.problemsOfAccounts" . -}}
{{- include "flashback-exporter.problemsOfLabels" . -}}
{{- include "flashback-exporter.problemsOfPublishing" . -}}
{{- include "flashback-exporter.problemsOfScrapes" . -}}
{{- if include "flashback-exporter.wanted" (list . .Values.rules.enabled "PrometheusRule") -}}
{{- include "flashback-exporter.problemsOfRules" . -}}
{{- end -}}
{{- end -}}

{{/* What texts may be once their templates are filled in: the schema sees them before, and cannot give an
example of what it wants. */}}
{{- define "flashback-exporter.forms" -}}
{{- $duration := "([0-9]{1,9}y)?([0-9]{1,9}w)?([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?" -}}
{{- $name := "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?" -}}
{{- $namespace := "([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?" -}}
{{- $start := "([a-z]([-a-z0-9]{0,50}[a-z0-9])?)?" -}}
{{- dict
  "nameOverride" (list $start "flashback")
  "fullnameOverride" (list $start "flashback")
  "namespaceOverride" (list $namespace "monitoring")
  "image.registry" (list "([A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]*)?)?" "registry.example.com:5000")
  "image.repository" (list "[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?" "registry.example.com/flashback-exporter")
  "image.tag" (list "([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?" "1.2.3")
  "image.digest" (list "(sha256:[0-9a-f]{64})?" "sha256: and 64 digits")
  "account.email" (list "([^\\s@]+@[^\\s@]+|.*[$]{.*)?" "ops@example.com")
  "configReloadInterval" (list (printf "0|%s" $duration) "30s, or 0 for never")
  "credentials.existingSecret" (list $name "flashback")
  "web.telemetryPath" (list "/[^?#{}\\s]*" "/metrics")
  "web.existingSecret" (list $name "flashback-web")
  "web.key" (list "[A-Za-z0-9._-]{1,253}" "web-config.yml")
  "serviceMonitor.namespace" (list $namespace "monitoring")
  "serviceMonitor.interval" (list $duration "30s")
  "serviceMonitor.scrapeTimeout" (list $duration "10s")
  "rules.namespace" (list $namespace "monitoring")
  "dashboards.namespace" (list $namespace "monitoring")
  "dashboards.uidPrefix" (list "[A-Za-z0-9_-]{1,30}" "flashback-partner")
  "podDisruptionBudget.maxUnavailable" (list "[0-9]+%?" "1, or 50%")
  "serviceAccount.name" (list $name "flashback")
  "priorityClassName" (list $name "monitoring")
  | toJson -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfTexts" -}}
{{- range $place, $form := include "flashback-exporter.forms" . | fromJson -}}
{{- $value := $.Values -}}
{{- range splitList "." $place -}}{{- $value = index $value . -}}{{- end -}}
{{- if not (regexMatch (printf "^(%s)$" (index $form 0)) (toString $value)) }}
- {{ $place }}: {{ toString $value | trunc 100 | quote }} cannot be used: write one such as {{ index $form 1 }}.
{{- end -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- if not (hasPrefix "--" .) }}
- extraArgs: {{ trunc 100 . | quote }} is no flag: write one such as --web.max-requests=10.
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.env -}}
{{- if not (regexMatch "^[-._a-zA-Z][-._a-zA-Z0-9]*$" $name) }}
- env: {{ $name | quote }} is no name of a variable: write one such as PROXY_PASSWORD.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfChoices" -}}
{{- $short := or .Values.account.buckets .Values.account.discovery -}}
{{- if and .Values.config.accounts (or $short .Values.account.email) }}
- account: is the short form of config.accounts: write one of the two.
{{- end -}}
{{- if not (or $short .Values.config.accounts) }}
- account: There is nothing to poll: set account.discovery=true, or account.buckets={65f1c0ffee}, or config.accounts.
{{- end -}}
{{- if and .Values.credentials.existingSecret .Values.credentials.data }}
- credentials: existingSecret and data exclude each other: name a Secret or have one made.
{{- end -}}
{{- range $file, $text := .Values.credentials.data -}}
{{- if not (and (regexMatch "^[A-Za-z0-9._-]{1,253}$" $file) (not (has $file (list "." ".." "config.yaml")))) }}
- credentials.data: {{ $file | quote }} cannot be a file's name here: take letters, digits, ".", "_" and "-", as in partner-token, and not config.yaml.
{{- end -}}
{{- end -}}
{{- if and (or .Values.web.tls .Values.web.clientCertificates) (not .Values.web.existingSecret) }}
- web: tls and clientCertificates say what a web configuration has: set web.existingSecret, too, as in web.existingSecret=flashback-web.
{{- end -}}
{{- if and .Values.web.clientCertificates (not .Values.web.tls) }}
- web: web.clientCertificates needs web.tls=true.
{{- end -}}
{{- end -}}

{{/* Labels that select or describe cannot be given, and a label is not any text. */}}
{{- define "flashback-exporter.problemsOfLabels" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $place, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels "serviceMonitor.labels" .Values.serviceMonitor.labels "rules.labels" .Values.rules.labels "ingress.labels" .Values.ingress.labels "httpRoute.labels" .Values.httpRoute.labels "dashboards.label" (dict .Values.dashboards.label .Values.dashboards.labelValue) -}}
{{- range $name, $value := $labels -}}
{{- if has $name $own }}
- {{ $place }}: {{ $name }} is a label of the chart's own: take another name, as in example.com/team.
{{- else if not (regexMatch "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$" $name) }}
- {{ $place }}: {{ $name | quote }} is no name of a label: write one such as team or example.com/team.
{{- else if not (regexMatch "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$" $value) }}
- {{ $place }}: the value of {{ $name }} is no label's: at most 63 letters, digits, ".", "_" and "-", as in storage-1.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfPublishing" -}}
{{- if and (include "flashback-exporter.published" .) (gt (int .Values.shards) 1) }}
- {{ .Values.ingress.enabled | ternary "ingress" "httpRoute" }}: with several shards there is no one page to show: each knows its own buckets alone. Set shards=1, or use the dashboards.
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
- ingress.hosts: is empty: write where the page is, as in {host: flashback.example.com, paths: [{path: /, pathType: Prefix}]}.
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
- httpRoute.parentRefs: is empty: write the Gateway's name, as in {name: public, namespace: gateways}.
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfScrapes" -}}
{{- $interval := .Values.serviceMonitor.interval -}}
{{- $timeout := .Values.serviceMonitor.scrapeTimeout -}}
{{- with include "flashback-exporter.milliseconds" $interval | int64 -}}
{{- if gt (include "flashback-exporter.milliseconds" $timeout | int64) . }}
- serviceMonitor.scrapeTimeout: {{ $timeout }} is longer than the interval, {{ $interval }}, which Prometheus refuses: write at most {{ $interval }}.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
