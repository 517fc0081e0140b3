{{/* Prepares the values for all other templates: sets defaults, fills in templates, checks the result. */}}

{{/* Every template begins with this, since Helm does not define their order. All of them share .Values. */}}
{{- define "flashback-exporter.prepare" -}}
{{- if not .Values.prepared -}}
{{- include "flashback-exporter.complete" (list (.Files.Get "files/defaults.json" | fromJson) .Values) -}}
{{- $problems := "" -}}
{{- range $key, $value := .Values -}}
{{- /* Texts of these may have braces that are not Helm's; `global` belongs to other charts, too. */ -}}
{{- $fill := not (has $key (list "account" "config" "credentials" "global" "rules")) -}}
{{- $problems = print $problems (include "flashback-exporter.expandKey" (list $ $.Values $key $key $fill)) -}}
{{- end -}}
{{- range $place := list "credentials.existingSecret" "global.imageRegistry" "global.imagePullSecrets" -}}
{{- $map := index $.Values (splitList "." $place | first) -}}
{{- $problems = print $problems (include "flashback-exporter.expandKey" (list $ $map (splitList "." $place | last) $place true)) -}}
{{- end -}}
{{- with print $problems (include "flashback-exporter.problems" .) | trim -}}
{{- fail (printf "the values cannot be used:\n%s" .) -}}
{{- end -}}
{{- $_ := set .Values "prepared" true -}}
{{- end -}}
{{- end -}}

{{/* Sets the defaults of missing and null values, which Helm removes: (list defaults values). */}}
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

{{/* Expands one key of a mapping in place: (list root mapping key place fill). Prints problems. */}}
{{- define "flashback-exporter.expandKey" -}}
{{- $box := dict "value" (get (index . 1) (index . 2)) -}}
{{- include "flashback-exporter.expand" (dict "root" (index . 0) "box" $box "place" (index . 3) "fill" (index . 4)) -}}
{{- $_ := set (index . 1) (index . 2) $box.value -}}
{{- end -}}

{{/* Replaces box.value by itself without null keys and, with "fill", with templates filled in: (dict "root"
"box" "place" "fill"). Each text is filled in alone, so a result stays a text. Prints problems. */}}
{{- define "flashback-exporter.expand" -}}
{{- $value := .box.value -}}
{{- if kindIs "map" $value -}}
{{- $map := dict -}}
{{- range $key, $each := $value -}}
{{- if not (kindIs "invalid" $each) -}}
{{- $inner := dict "value" $each -}}
{{- include "flashback-exporter.expand" (dict "root" $.root "box" $inner "place" (printf "%s.%s" $.place $key) "fill" $.fill) -}}
{{- $_ := set $map $key $inner.value -}}
{{- end -}}
{{- end -}}
{{- $_ := set .box "value" $map -}}
{{- else if kindIs "slice" $value -}}
{{- $list := list -}}
{{- range $index, $each := $value -}}
{{- $inner := dict "value" $each -}}
{{- include "flashback-exporter.expand" (dict "root" $.root "box" $inner "place" (printf "%s[%d]" $.place $index) "fill" $.fill) -}}
{{- $list = append $list $inner.value -}}
{{- end -}}
{{- $_ := set .box "value" $list -}}
{{- else if and .fill (kindIs "string" $value) -}}
{{- if contains "{{" $value -}}
{{- if contains "{{" (regexReplaceAll `(?s)\{\{(?:[^"'{}\x60]|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\x60[^\x60]*\x60|/\*.*?\*/)*\}\}` $value " ") }}
- {{ .place }}: a template does not end: close {{ "{{" }} with }}, or write {{ "{{ \"{{\" }}" }} for literal braces.
{{- else -}}
{{- $_ := set .box "value" (tpl $value .root) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* All problems, one per line: place, problem, remedy. */}}
{{- define "flashback-exporter.problems" -}}
{{- include "flashback-exporter.problemsOfTexts" . -}}
{{- include "flashback-exporter.problemsOfNames" . -}}
{{- include "flashback-exporter.problemsOfChoices" . -}}
{{- include "flashback-exporter.problemsOfAccounts" . -}}
{{- include "flashback-exporter.problemsOfLabels" . -}}
{{- include "flashback-exporter.problemsOfPublishing" . -}}
{{- include "flashback-exporter.problemsOfDurations" . -}}
{{- include "flashback-exporter.problemsOfStrategies" . -}}
{{- include "flashback-exporter.problemsOfManifests" . -}}
{{- if include "flashback-exporter.wanted" (list . .Values.rules.enabled "PrometheusRule") -}}
{{- include "flashback-exporter.problemsOfRules" . -}}
{{- end -}}
{{- end -}}

{{/* A pattern and an example for texts. The schema cannot check them: it sees the templates, not the result. */}}
{{- define "flashback-exporter.forms" -}}
{{- $duration := "([0-9]{1,9}y)?([0-9]{1,9}w)?([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?" -}}
{{- $name := "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?" -}}
{{- $namespace := "([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?" -}}
{{- $share := "(0|[1-9][0-9]{0,8}|(100|[1-9]?[0-9])%)" -}}
{{- $registry := "([A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]*)?)?" -}}
{{- $start := "([a-z]([-a-z0-9]{0,50}[a-z0-9])?)?" -}}
{{- dict
  "global.imageRegistry" (list $registry "registry.example.com:5000")
  "nameOverride" (list $start "flashback")
  "fullnameOverride" (list $start "flashback")
  "namespaceOverride" (list $namespace "monitoring")
  "image.registry" (list $registry "registry.example.com:5000")
  "image.repository" (list "([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9][a-z0-9._/-]*" "registry.example.com/flashback-exporter, and the tag in image.tag")
  "image.tag" (list "([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?" "1.2.3")
  "image.digest" (list "(sha256:[0-9a-f]{64})?" "sha256: and 64 digits")
  "account.email" (list "([^\\s@]+@[^\\s@]+|.*[$]{.*)?" "ops@example.com")
  "configReloadInterval" (list (printf "0|%s" $duration) "30s, or 0 for never")
  "ingress.className" (list $name "nginx")
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
  "podDisruptionBudget.maxUnavailable" (list $share "1, or 50%")
  "strategy.rollingUpdate.maxSurge" (list (printf "%s?" $share) "1, or 50%")
  "strategy.rollingUpdate.maxUnavailable" (list (printf "%s?" $share) "1, or 50%")
  "updateStrategy.rollingUpdate.maxUnavailable" (list (printf "%s?" $share) "1, or 50%")
  "serviceAccount.name" (list $name "flashback")
  "priorityClassName" (list $name "monitoring")
  "runtimeClassName" (list $name "gvisor")
  "schedulerName" (list $name "default-scheduler")
  | toJson -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfTexts" -}}
{{- range $place, $form := include "flashback-exporter.forms" . | fromJson -}}
{{- $value := $.Values -}}
{{- range splitList "." $place -}}{{- $value = get (default dict $value) . -}}{{- end -}}
{{- $text := include "flashback-exporter.text" $value -}}
{{- if not (regexMatch (printf "^(%s)$" (index $form 0)) $text) }}
- {{ $place }}: {{ $text | trunc 100 | quote }} cannot be used: write one such as {{ index $form 1 }}.
{{- end -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- if not (hasPrefix "--" .) }}
- extraArgs: {{ trunc 100 . | quote }} is not a flag: write one such as --web.max-requests=10.
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.env -}}
{{- if not (regexMatch "^[-._a-zA-Z][-._a-zA-Z0-9]*$" $name) }}
- env: {{ $name | quote }} is not the name of a variable: write one such as PROXY_PASSWORD.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names that the API server wants only once in a pod or a container. */}}
{{- define "flashback-exporter.problemsOfNames" -}}
{{- range $place, $taken := dict "extraVolumes" (list "config" "web") "extraContainers" (list "exporter") "initContainers" (list "exporter") "extraEnv" (keys .Values.env) -}}
{{- range $index, $each := index $.Values $place -}}
{{- if has $each.name $taken }}
- {{ $place }}[{{ $index }}].name: {{ $each.name | quote }} is already taken{{ if eq $place "extraEnv" }} in env{{ else }} by the chart{{ end }}: use another name.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfChoices" -}}
{{- $short := or .Values.account.buckets .Values.account.discovery -}}
{{- if and .Values.config.accounts (or $short .Values.account.email) }}
- account: set together with config.accounts, of which it is the short form: remove one of them.
{{- end -}}
{{- if not (or $short .Values.config.accounts) }}
- account: no buckets to poll: set account.discovery=true, account.buckets={65f1c0ffee}, or config.accounts.
{{- end -}}
{{- if and .Values.credentials.existingSecret .Values.credentials.data }}
- credentials: existingSecret and data are both set: remove one of them.
{{- end -}}
{{- range $file, $text := .Values.credentials.data -}}
{{- if not (and (regexMatch "^[A-Za-z0-9._-]{1,253}$" $file) (not (has $file (list "." ".." "config.yaml")))) }}
- credentials.data: {{ $file | quote }} is not a valid file name: use letters, digits, ".", "_" and "-", as in partner-token, but not config.yaml.
{{- end -}}
{{- end -}}
{{- if and (or .Values.web.tls .Values.web.clientCertificates) (not .Values.web.existingSecret) }}
- web: tls and clientCertificates require a web configuration: set web.existingSecret, such as web.existingSecret=flashback-web.
{{- end -}}
{{- if and .Values.web.clientCertificates (not .Values.web.tls) }}
- web: clientCertificates requires TLS: set web.tls=true.
{{- end -}}
{{- end -}}

{{/* Labels that the chart sets cannot be changed: selectors depend on them. */}}
{{- define "flashback-exporter.problemsOfLabels" -}}
{{- $form := "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $place, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels "serviceMonitor.labels" .Values.serviceMonitor.labels "rules.labels" .Values.rules.labels "ingress.labels" .Values.ingress.labels "httpRoute.labels" .Values.httpRoute.labels "serviceAccount.labels" .Values.serviceAccount.labels "dashboards.label" (dict .Values.dashboards.label .Values.dashboards.labelValue) -}}
{{- range $name, $value := $labels -}}
{{- if has $name $own }}
- {{ $place }}: the chart sets the label {{ $name }} itself: use another name, such as example.com/team.
{{- else if not (regexMatch $form $name) }}
- {{ $place }}: {{ $name | quote }} is not the name of a label: write one such as team or example.com/team.
{{- else if not (regexMatch "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$" $value) }}
- {{ $place }}: the label {{ $name }} has an invalid value: use at most 63 letters, digits, ".", "_" and "-", as in storage-1.
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $place, $annotations := dict "annotations" .Values.annotations "podAnnotations" .Values.podAnnotations "service.annotations" .Values.service.annotations "serviceMonitor.annotations" .Values.serviceMonitor.annotations "rules.annotations" .Values.rules.annotations "ingress.annotations" .Values.ingress.annotations "httpRoute.annotations" .Values.httpRoute.annotations "serviceAccount.annotations" .Values.serviceAccount.annotations "dashboards.annotations" .Values.dashboards.annotations -}}
{{- range $name, $_ := $annotations -}}
{{- if not (regexMatch $form $name) }}
- {{ $place }}: {{ $name | quote }} is not the name of an annotation: write one such as example.com/team.
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $place, $names := dict "jobLabel" (list .Values.serviceMonitor.jobLabel) "targetLabels" .Values.serviceMonitor.targetLabels "podTargetLabels" .Values.serviceMonitor.podTargetLabels -}}
{{- range $names -}}
{{- if and . (not (regexMatch $form .)) }}
- serviceMonitor.{{ $place }}: {{ . | quote }} is not the name of a label: write one such as team.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfPublishing" -}}
{{- if and (include "flashback-exporter.published" .) (gt (int .Values.shards) 1) }}
- {{ .Values.ingress.enabled | ternary "ingress" "httpRoute" }}: each of several shards has a page of only its own buckets: set shards=1, or use the dashboards.
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
- ingress.hosts: required: add the host of the page, as in {host: flashback.example.com, paths: [{path: /, pathType: Prefix}]}.
{{- end -}}
{{- $hosts := dict -}}
{{- range $index, $host := .Values.ingress.hosts -}}
{{- $_ := set $hosts (printf "ingress.hosts[%d].host" $index) (list $host.host) -}}
{{- end -}}
{{- range $index, $tls := .Values.ingress.tls -}}
{{- $_ := set $hosts (printf "ingress.tls[%d].hosts" $index) (default list $tls.hosts) -}}
{{- end -}}
{{- range $place, $names := set $hosts "httpRoute.hostnames" .Values.httpRoute.hostnames -}}
{{- range $names -}}
{{- if not (regexMatch `^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$` (toString .)) }}
- {{ $place }}: {{ toString . | trunc 100 | quote }} is not a host name: write one such as flashback.example.com.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
- httpRoute.parentRefs: required: add the Gateway, as in {name: public, namespace: gateways}.
{{- end -}}
{{- end -}}

{{/* The exporter and Prometheus count nanoseconds in 63 bits. */}}
{{- define "flashback-exporter.problemsOfDurations" -}}
{{- $interval := .Values.serviceMonitor.interval -}}
{{- $timeout := .Values.serviceMonitor.scrapeTimeout -}}
{{- $durations := dict "configReloadInterval" .Values.configReloadInterval "serviceMonitor.interval" $interval "serviceMonitor.scrapeTimeout" $timeout -}}
{{- $mappings := dict "config.global" .Values.config.global "rules.settings" .Values.rules.settings -}}
{{- range $index, $account := .Values.config.accounts -}}
{{- $_ := set $mappings (printf "config.accounts[%d]" $index) $account -}}
{{- $_ := set $mappings (printf "config.accounts[%d].discovery" $index) (default dict $account.discovery) -}}
{{- end -}}
{{- range $place, $mapping := $mappings -}}
{{- range $name, $value := $mapping -}}
{{- if regexMatch "_(interval|timeout|after|grace|for)$" $name -}}
{{- $_ := set $durations (printf "%s.%s" $place $name) $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $changes := .Values.rules.alerts -}}
{{- $_ := set $durations (printf "rules.alerts.%s.for" $name) (get $changes "for") -}}
{{- end -}}
{{- range $place, $value := $durations -}}
{{- if gt (include "flashback-exporter.milliseconds" $value | float64) 9223372036854.0 }}
- {{ $place }}: {{ trunc 100 $value }} is longer than 292 years: write a shorter duration such as 30s.
{{- end -}}
{{- end -}}
{{- with include "flashback-exporter.milliseconds" $interval | float64 -}}
{{- if gt (include "flashback-exporter.milliseconds" $timeout | float64) . }}
- serviceMonitor.scrapeTimeout: {{ $timeout }} is longer than the interval: write at most {{ $interval }}.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* 0 for what is not a duration. */}}
{{- define "flashback-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $sum := 0.0 -}}
{{- if regexMatch "^([0-9]+(ms|[smhdwy]))+$" (toString .) -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $sum = addf $sum (mulf (regexFind "[0-9]+" . | float64) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- end -}}
{{- printf "%.0f" $sum -}}
{{- end -}}

{{/* The API server refuses rollingUpdate with any other type. */}}
{{- define "flashback-exporter.problemsOfStrategies" -}}
{{- range $place, $usual := dict "strategy" "Recreate" "updateStrategy" "RollingUpdate" -}}
{{- $strategy := index $.Values $place -}}
{{- $type := default $usual $strategy.type -}}
{{- if and $strategy.rollingUpdate (ne $type "RollingUpdate") }}
- {{ $place }}.rollingUpdate: the type is {{ $type }}: set {{ $place }}.type=RollingUpdate, or remove rollingUpdate.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfManifests" -}}
{{- range $index, $manifest := .Values.extraManifests -}}
{{- $text := kindIs "string" $manifest | ternary $manifest (toYaml $manifest) -}}
{{- range regexSplit "(?m)^---" $text -1 -}}
{{- with fromYaml . -}}
{{- if .Error }}
- extraManifests[{{ $index }}]: {{ contains "cannot unmarshal" .Error | ternary "not a mapping" (trimPrefix "error converting YAML to JSON: " .Error) }}: write one object as YAML, or several with --- between them.
{{- else if not (and .apiVersion .kind) }}
- extraManifests[{{ $index }}]: the object has no apiVersion or no kind: add both, such as "apiVersion: v1" and "kind: ConfigMap".
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
