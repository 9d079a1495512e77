{{/* Rules of network policies. An empty list of peers is left out, which means any. */}}

{{/* To PostgreSQL. */}}
{{- define "onescan.egress.database" -}}
- ports:
    - {protocol: TCP, port: {{ .Values.database.port }}}
  {{- if .Values.postgresql.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "onescan.selectorLabels" (list . "postgresql") | nindent 10 }}
  {{- else if .Values.networkPolicies.database.to }}
  to:
    {{- toYaml .Values.networkPolicies.database.to | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* To S3, where something is there. */}}
{{- define "onescan.egress.s3" -}}
{{- if or (eq .Values.objects.kind "s3") (eq .Values.models.source "s3") -}}
- ports:
    {{- range .Values.networkPolicies.objects.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .Values.networkPolicies.objects.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* From Prometheus; give (list . ports). */}}
{{- define "onescan.ingress.metrics" -}}
{{- $root := index . 0 -}}
- from:
    {{- toYaml $root.Values.networkPolicies.metrics.from | nindent 4 }}
  ports:
    {{- range $port := index . 1 }}
    - {protocol: TCP, port: {{ $port }}}
    {{- end }}
{{- end -}}
