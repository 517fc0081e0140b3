{{/*
The rules: the files of monitoring/rules with `rules.settings` and `rules.alerts` applied, and the groups of
optional-rules.yaml whose setting is set.

A setting that is a number or a duration is found by the comment with its name at the end of its line. Other
settings are found by their default, which the head of the file has as `# name: text`.
*/}}

{{/* The text of a setting that is not a number: (dict "name" … "value" …). */}}
{{- define "flashback-exporter.ruleText" -}}
{{- if eq .name "down_statuses" -}}
{{- join "|" .value -}}
{{- else if kindIs "slice" .value -}}
{{- join ", " .value -}}
{{- else -}}
{{- .value -}}
{{- end -}}
{{- end -}}

{{/* A file with the settings applied: (dict "text" … "settings" …). */}}
{{- define "flashback-exporter.ruleFile" -}}
{{- $text := .text -}}
{{- $texts := dict -}}
{{- range $name, $value := .settings -}}
{{- $head := regexFind (printf "(?m)^# %s: .*$" $name) $text | trimPrefix (printf "# %s: " $name) -}}
{{- if $head -}}
{{- /* In two steps, so that an inserted text is never replaced. */ -}}
{{- $text = replace $head (printf "<%s>" $name) $text -}}
{{- $_ := set $texts $name (include "flashback-exporter.ruleText" (dict "name" $name "value" $value)) -}}
{{- else -}}
{{- $text = regexReplaceAll (printf "(?m)[^ \n]+(  # %s)$" $name) $text (printf "%s${1}" (kindIs "string" $value | ternary $value (toJson $value))) -}}
{{- end -}}
{{- end -}}
{{- range $name, $put := $texts -}}
{{- $text = replace (printf "<%s>" $name) $put $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* A rule as YAML, with the changes of `rules.alerts`; empty if it is disabled: (dict "rule" … "changes" …
"labels" …). */}}
{{- define "flashback-exporter.rule" -}}
{{- $rule := .rule -}}
{{- $changes := dict -}}
{{- if $rule.alert -}}
{{- $changes = default dict (get .changes $rule.alert) -}}
{{- end -}}
{{- if ne (get $changes "enabled" | toString) "false" -}}
{{- with $changes.severity -}}
{{- $_ := set $rule.labels "severity" . -}}
{{- end -}}
{{- with get $changes "for" -}}
{{- $_ := set $rule "for" . -}}
{{- end -}}
{{- if and $rule.alert .labels -}}
{{- $_ := set $rule "labels" (mergeOverwrite (deepCopy .labels) (default dict $rule.labels)) -}}
{{- end -}}
{{- toYaml $rule -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot check: it sees each value alone. `python -m monitoring` words the same problems alike. */}}
{{- define "flashback-exporter.problemsOfRules" -}}
{{- range $name, $_ := .Values.rules.alertLabels -}}
{{- if not (regexMatch "^[a-zA-Z_][a-zA-Z0-9_]*$" $name) }}
- rules.alertLabels: {{ $name | quote }} is not the name of a Prometheus label: write one such as team.
{{- end -}}
{{- end -}}
{{- $groups := dict -}}
{{- range $path, $content := .Files.Glob "files/**.yaml" -}}
{{- range regexFindAll "(?m)^  - name: .*$" (toString $content) -1 -}}
{{- $_ := set $groups (trimPrefix "  - name: " .) "the chart" -}}
{{- end -}}
{{- end -}}
{{- range $index, $group := .Values.rules.extraGroups -}}
{{- with get $groups $group.name }}
- rules.extraGroups[{{ $index }}].name: {{ $group.name | quote }} is already the name of a group of {{ . }}: choose another name.
{{- end -}}
{{- $_ := set $groups $group.name "rules.extraGroups" -}}
{{- end -}}
{{- $text := .Files.Get "files/rules/flashback-alerts.yaml" -}}
{{- $labels := dict -}}
{{- range $name := list "aggregation_labels" "bucket_labels" "node_labels" -}}
{{- $head := regexFind (printf "(?m)^# %s: .*$" $name) $text | trimPrefix (printf "# %s: " $name) -}}
{{- $_ := set $labels $name (default (splitList ", " $head) (index $.Values.rules.settings $name)) -}}
{{- end -}}
{{- range $labels.bucket_labels -}}
{{- if has . $labels.aggregation_labels }}
- rules.settings: {{ . }} is in aggregation_labels and in bucket_labels: leave it out of one of them.
{{- end -}}
{{- end -}}
{{- range $labels.node_labels -}}
{{- if not (has . (concat $labels.bucket_labels (list "ip" "host"))) }}
- rules.settings: {{ . }} is in node_labels and not in bucket_labels: add it there.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.rules" -}}
{{- $settings := deepCopy .Values.rules.settings -}}
{{- /* Rules of a release with the same name in another namespace must not match. */ -}}
{{- $job := printf "job=%q" (include "flashback-exporter.job" .) -}}
{{- if has "namespace" (default (list "namespace") $settings.aggregation_labels) -}}
{{- $job = printf "%s,namespace=%q" $job (include "flashback-exporter.namespace" .) -}}
{{- end -}}
{{- $_ := set $settings "exporter_job" $job -}}
{{- with $settings.aggregation_labels -}}
{{- $matchers := list -}}
{{- $values := list -}}
{{- $variables := list -}}
{{- range . -}}
{{- if has . (list "job" "namespace" "cluster") -}}
{{- $variables = append $variables (printf "var-%s={{ $labels.%s | urlquery }}" . .) -}}
{{- end -}}
{{- $matchers = append $matchers (printf "%s=%%+q" .) -}}
{{- $values = append $values (printf "$labels.%s" .) -}}
{{- end -}}
{{- $_ := set $settings "aggregation_matchers" (join "," $matchers) -}}
{{- $_ := set $settings "aggregation_values" (join " " $values) -}}
{{- $_ := set $settings "aggregation_variables" (join "&" $variables) -}}
{{- end -}}
{{- $labels := .Values.rules.alertLabels -}}
groups:
{{- range $path, $content := .Files.Glob "files/**.yaml" }}
{{- $text := include "flashback-exporter.ruleFile" (dict "text" (toString $content) "settings" $settings) }}
{{- $text = replace "/d/flashback-" (printf "/d/%s-" $.Values.dashboards.uidPrefix) $text }}
{{- range $group := (fromYaml $text).groups }}
{{- $rules := list }}
{{- /* An optional group has the name of the setting that it requires. */ -}}
{{- $setting := $group.name | trimPrefix "flashback-" | replace "-" "_" }}
{{- range $rule := ternary $group.rules list (or (ne $path "files/optional-rules.yaml") (hasKey $settings $setting)) }}
{{- with include "flashback-exporter.rule" (dict "rule" $rule "changes" $.Values.rules.alerts "labels" $labels) }}
{{- $rules = append $rules . }}
{{- end }}
{{- end }}
{{- with $rules }}
  - name: {{ $group.name | quote }}
    {{- with $group.interval }}
    interval: {{ . | quote }}
    {{- end }}
    rules:
      {{- range . }}
      -
        {{- . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $group := .Values.rules.extraGroups }}
{{- $rules := list }}
{{- range $rule := $group.rules }}
{{- $rules = append $rules (include "flashback-exporter.rule" (dict "rule" $rule "changes" dict "labels" $labels) | fromYaml) }}
{{- end }}
  - {{ mergeOverwrite $group (dict "rules" $rules) | toYaml | indent 4 | trim }}
{{- end }}
{{- end -}}
