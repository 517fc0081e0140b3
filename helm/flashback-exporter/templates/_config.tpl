{{/* The exporter's configuration, and checks of it that would otherwise fail in the pod. */}}

{{/* The image's default, so that `kubectl exec … flashback-exporter check` needs no flag. */}}
{{- define "flashback-exporter.configDirectory" -}}/etc/flashback-exporter{{- end -}}
{{- define "flashback-exporter.webDirectory" -}}/etc/flashback-exporter-web{{- end -}}

{{- define "flashback-exporter.config" -}}
{{- $accounts := .Values.config.accounts -}}
{{- if not $accounts -}}
{{- $accounts = list (include "flashback-exporter.shortAccount" . | fromYaml) -}}
{{- end -}}
{{- with .Values.config.global -}}
{{ dict "global" . | toYaml }}
{{ end -}}
{{ dict "accounts" $accounts | toYaml }}
{{- end -}}

{{/* The account that the short form, .Values.account, describes. */}}
{{- define "flashback-exporter.shortAccount" -}}
{{- $account := dict "name" .Values.account.name -}}
{{- if .Values.account.email -}}
{{- $_ := set $account "login" (dict "email" .Values.account.email "password_file" "password") -}}
{{- else -}}
{{- $_ := set $account "authorization" (dict "credentials_file" "token") -}}
{{- end -}}
{{- with .Values.account.buckets -}}{{- $_ := set $account "buckets" . -}}{{- end -}}
{{- if .Values.account.discovery -}}{{- $_ := set $account "discovery" dict -}}{{- end -}}
{{- toYaml $account -}}
{{- end -}}

{{- define "flashback-exporter.problemsOfAccounts" -}}
{{- include "flashback-exporter.problemsOfUrl" (list "config.global.base_url" .Values.config.global.base_url) -}}
{{- range $index, $account := .Values.config.accounts -}}
{{- include "flashback-exporter.problemsOfAccount" (list $ (printf "config.accounts[%d]" $index) $account) -}}
{{- else -}}
{{- if or .Values.account.buckets .Values.account.discovery -}}
{{- include "flashback-exporter.problemsOfAccount" (list . "account" (include "flashback-exporter.shortAccount" . | fromYaml)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Secrets that a ConfigMap would contain, and missing ones: (list root place account). */}}
{{- define "flashback-exporter.problemsOfAccount" -}}
{{- $root := index . 0 -}}
{{- $place := index . 1 -}}
{{- $account := index . 2 -}}
{{- $authorization := default dict $account.authorization -}}
{{- $login := default dict $account.login -}}
{{- range $key, $value := dict "authorization.credentials" $authorization.credentials "login.password" $login.password -}}
{{- if and $value (include "flashback-exporter.open" $value) }}
- {{ $place }}.{{ $key }}: would be readable in a ConfigMap: put it into a Secret and set {{ base (replace "." "/" $key) }}_file to its key, or write only a variable, "${NAME}", and set that with extraEnv.
{{- end -}}
{{- end -}}
{{- range $key := list "base_url" "proxy_url" -}}
{{- include "flashback-exporter.problemsOfUrl" (list (printf "%s.%s" $place $key) (get $account $key)) -}}
{{- end -}}
{{- range list $authorization.credentials_file $login.password_file -}}
{{- if . -}}{{- include "flashback-exporter.problemsOfFile" (list $root $place .) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* What remains of a text without its variables: what the ConfigMap would show. */}}
{{- define "flashback-exporter.open" -}}
{{- regexReplaceAll "[$]{[A-Za-z_][A-Za-z0-9_]*(:-)?}" . "" | trim -}}
{{- end -}}

{{/* The schema does not check addresses, since Helm would quote a password in its error: (list place url).
A user name without a password is allowed in proxy_url, as the exporter allows it: it is not a secret. */}}
{{- define "flashback-exporter.problemsOfUrl" -}}
{{- $place := index . 0 -}}
{{- with index . 1 -}}
{{- $form := "([^\\s?#/@]*@)?[^\\s?#/@]+/*" -}}
{{- $example := "http://proxy.example.com:3128" -}}
{{- $remedy := "write it as a variable, \"http://exporter:${PROXY_PASSWORD}@proxy.example.com:3128\", and set that with extraEnv" -}}
{{- if hasSuffix "base_url" $place -}}
{{- $form = "[^\\s?#/@]+(/[^\\s?#]*)?" -}}
{{- $example = "https://flashback.example.com, without a user, and with nothing after the path" -}}
{{- $remedy = "remove it, and write authorization or login" -}}
{{- end -}}
{{- $filled := regexReplaceAll "[$]{[A-Za-z_][A-Za-z0-9_]*(:-)?}" . "V" -}}
{{- if regexMatch "[$]{[^}]*:-" $filled }}
- {{ $place }}: the default of a variable would be readable in a ConfigMap: write the variable alone, "${NAME}", and set it with extraEnv.
{{- else if regexMatch "(?is)(:|%3a).+@" (include "flashback-exporter.open" . | replace "://" "") }}
- {{ $place }}: the password in it would be readable in a ConfigMap: {{ $remedy }}.
{{- else if not (or (regexMatch "^V+$" $filled) (regexMatch (printf "^([Hh][Tt][Tt][Pp][Ss]?|V+)://%s$" $form) $filled)) }}
- {{ $place }}: not an address: write one such as {{ $example }}.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a Secret could contain a file: (list root place file). Other paths are not checked. */}}
{{- define "flashback-exporter.problemsOfFile" -}}
{{- $root := index . 0 -}}
{{- $file := index . 2 -}}
{{- $credentials := $root.Values.credentials -}}
{{- if not (or (contains "/" $file) (contains "${" $file) $credentials.existingSecret $root.Values.configSources) -}}
{{- if not (hasKey $credentials.data $file) }}
- {{ index . 1 }}: no credentials: set credentials.existingSecret to the name of a Secret with the key {{ $file | quote }}, or set credentials.data.{{ $file }}.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flashback-exporter.credentialsSecret" -}}
{{- if .Values.credentials.data -}}
{{- include "flashback-exporter.fullname" . }}-credentials
{{- else -}}
{{- .Values.credentials.existingSecret -}}
{{- end -}}
{{- end -}}
