{{/* The exporter's configuration, and what makes it impossible: told at once, not by a pod that fails. */}}

{{/* Where the image looks by itself: so `kubectl exec … flashback-exporter check` needs no flag. */}}
{{- define "flashback-exporter.configDirectory" -}}/etc/flashback-exporter{{- end -}}
{{- define "flashback-exporter.webDirectory" -}}/etc/flashback-exporter-web{{- end -}}

{{- define "flashback-exporter.config" -}}
{{- include "flashback-exporter.checkChoices" . -}}
{{- $accounts := .Values.config.accounts -}}
{{- if not $accounts -}}
{{- $accounts = list (include "flashback-exporter.shortAccount" . | fromYaml) -}}
{{- end -}}
{{- range $accounts -}}
{{- include "flashback-exporter.checkAccount" (list $ .) -}}
{{- end -}}
{{- with .Values.config.global -}}
{{ dict "global" . | toYaml }}
{{ end -}}
{{ dict "accounts" $accounts | toYaml }}
{{- end -}}

{{/* The account of the short form, .Values.account. */}}
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

{{- define "flashback-exporter.checkChoices" -}}
{{- $short := or .Values.account.buckets .Values.account.discovery -}}
{{- if and .Values.config.accounts (or $short .Values.account.email) -}}
{{- fail "account is the short form of config.accounts: write one of the two." -}}
{{- end -}}
{{- if not (or $short .Values.config.accounts) -}}
{{- fail "There is nothing to poll: set account.buckets, account.discovery or config.accounts." -}}
{{- end -}}
{{- if and .Values.credentials.existingSecret .Values.credentials.data -}}
{{- fail "credentials.existingSecret and credentials.data exclude each other: name a Secret or have one made." -}}
{{- end -}}
{{- if and (or .Values.web.tls .Values.web.clientCertificates) (not .Values.web.existingSecret) -}}
{{- fail "web.tls and web.clientCertificates say what a web configuration has: set web.existingSecret, too." -}}
{{- end -}}
{{- if and .Values.web.clientCertificates (not .Values.web.tls) -}}
{{- fail "web.clientCertificates needs web.tls." -}}
{{- end -}}
{{- end -}}

{{/* Whether an account's secrets are where secrets belong: (list root account). */}}
{{- define "flashback-exporter.checkAccount" -}}
{{- $root := index . 0 -}}
{{- $account := index . 1 -}}
{{- $authorization := default dict $account.authorization -}}
{{- $login := default dict $account.login -}}
{{- range $key, $value := dict "credentials" $authorization.credentials "password" $login.password -}}
{{- if and $value (not (contains "${" (toString $value))) -}}
{{- fail (printf "Account %q: %s would lie open in a ConfigMap. Put it into a Secret and write %s_file, or \"${NAME}\" with extraEnv." $account.name $key $key) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "://[^/@$]*:[^/@$]*@" (default "" $account.proxy_url) -}}
{{- fail (printf "Account %q: the password in proxy_url would lie open in a ConfigMap. Write \"${NAME}\" with extraEnv." $account.name) -}}
{{- end -}}
{{- range list $authorization.credentials_file $login.password_file -}}
{{- if . -}}{{- include "flashback-exporter.checkFile" (list $root $account.name .) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether there is a Secret that may hold a file: (list root account file). Other paths are the user's. */}}
{{- define "flashback-exporter.checkFile" -}}
{{- $root := index . 0 -}}
{{- $file := index . 2 -}}
{{- $credentials := $root.Values.credentials -}}
{{- if not (or (contains "/" $file) (contains "${" $file) $credentials.existingSecret $root.Values.configSources) -}}
{{- if not (hasKey $credentials.data $file) -}}
{{- fail (printf "Account %q has no credentials: set credentials.existingSecret to the name of a Secret with the key %q, or credentials.data.%s." (index . 1) $file $file) -}}
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
