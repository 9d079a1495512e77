{{/* Labels. Selectors use name, instance and component, which never change, and for pools the
     pool's name. The component of every pool is `pool`. */}}

{{/* Give (list . component) or (list . "pool" name). */}}
{{- define "onescan.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if gt (len .) 2 }}
onescan.io/pool: {{ index . 2 | quote }}
{{- end }}
{{- end -}}

{{/* Likewise. */}}
{{- define "onescan.labels" -}}
{{- $root := index . 0 -}}
{{ include "onescan.selectorLabels" . }}
app.kubernetes.io/part-of: onescan
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: as above without the chart's version, which would roll pods for nothing. */}}
{{- define "onescan.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "onescan.selectorLabels" . }}
app.kubernetes.io/part-of: onescan
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What selects every pod of the release, whatever its component. */}}
{{- define "onescan.releaseLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
