{{/* Pools: name → poolDefaults with what the pool says laid over it, as YAML; without those that
     are not enabled. */}}
{{- define "onescan.pools" -}}
{{- $root := . -}}
{{- range $name, $own := .Values.pools }}
{{- $pool := mergeOverwrite (deepCopy $root.Values.poolDefaults) (deepCopy (default dict $own)) }}
{{- if $pool.enabled }}
{{ $name }}:
  {{- toYaml $pool | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The most urgent lane of a pool. */}}
{{- define "onescan.pool.lane" -}}
{{- if has "stat" .lanes }}stat{{ else if has "routine" .lanes }}routine{{ else }}backfill{{ end -}}
{{- end -}}

{{/* A text[] literal of SQL; give the list. Names are letters, digits and underscores. */}}
{{- define "onescan.sqlArray" -}}
ARRAY[{{ range $i, $name := . }}{{ if $i }},{{ end }}'{{ $name }}'{{ end }}]::text[]
{{- end -}}

{{/* Checks for settings and SQL: all is the empty list. */}}
{{- define "onescan.pool.checks" -}}
{{- if has "*" .checks }}{{ list | toJson }}{{ else }}{{ sortAlpha .checks | toJson }}{{ end -}}
{{- end -}}

{{/* Lanes likewise. */}}
{{- define "onescan.pool.lanes" -}}
{{- if eq (len (uniq .lanes)) 3 }}{{ list | toJson }}{{ else }}{{ .lanes | uniq | toJson }}{{ end -}}
{{- end -}}

{{- define "onescan.hasGpuPool" -}}
{{- range $name, $pool := include "onescan.pools" . | fromYaml }}{{ if eq $pool.kind "gpu" }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* Where Triton finds models: compiled ones, those of a claim or a bucket, or its image's. */}}
{{- define "onescan.pool.models" -}}
{{- $root := index . 0 -}}
{{- if index . 1 -}}
- {name: ONESCAN_TRITON__MODEL_REPOSITORY, value: /models}
{{- else -}}
{{- range $variable, $value := include "onescan.settings.models" $root | fromYaml -}}
- {name: {{ $variable }}, value: {{ $value | quote }}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Looks of the startup probe: one each 5 s. */}}
{{- define "onescan.pool.startupLooks" -}}
{{- divf (int .Values.triton.startTimeoutSeconds) 5 | ceil | int -}}
{{- end -}}

{{/* Triton's resources with the pool's GPU in both, as extended resources have to be. */}}
{{- define "onescan.pool.tritonResources" -}}
{{- $resources := deepCopy .triton.resources -}}
{{- if eq .kind "gpu" -}}
{{- $gpu := dict .gpu.resource (int .gpu.count) -}}
{{- $_ := set $resources "limits" (merge (default dict $resources.limits) $gpu) -}}
{{- $_ := set $resources "requests" (merge (default dict $resources.requests) (deepCopy $gpu)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
