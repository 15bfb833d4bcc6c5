{{- define "driftline.name" -}}
{{- if contains "driftline" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-driftline" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "driftline.selector" -}}
app.kubernetes.io/name: driftline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "driftline.labels" -}}
{{ include "driftline.selector" . }}
app.kubernetes.io/component: {{ .Values.mode }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "driftline.serviceAccount" -}}
{{- default (include "driftline.name" .) .Values.serviceAccount.name }}
{{- end }}

{{/* What the chart decides goes over what was given. An observer takes no traffic. */}}
{{- define "driftline.config" -}}
{{- $own := dict "admin" (dict "listen" "0.0.0.0:9464") "store" (dict "path" "/var/lib/driftline") "auth" (dict "token_file" "/etc/driftline-auth/token") -}}
{{- if eq .Values.mode "gateway" }}{{ $_ := set $own "listen" "0.0.0.0:8080" }}{{ end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}
