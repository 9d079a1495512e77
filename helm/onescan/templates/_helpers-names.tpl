{{/* Names. All are at most 63 characters: 40 of the release, the rest of the component. */}}


{{- define "onescan.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* "repository@digest" or "repository:tag"; give (list . image). */}}
{{- define "onescan.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* PriorityClasses belong to the whole cluster, so their names hold the namespace. */}}
{{- define "onescan.priorityClass" -}}
{{- $root := index . 0 -}}
{{- $lane := index . 1 -}}
{{- if $root.Values.priorityClasses.create -}}
{{- printf "%s-%s-%s" $root.Release.Namespace (include "onescan.fullname" $root) $lane -}}
{{- end -}}
{{- end -}}

{{- define "onescan.objectsClaim" -}}
{{- .Values.objects.folder.existingClaim | default (printf "%s-objects" (include "onescan.fullname" .)) -}}
{{- end -}}

{{- define "onescan.enginesClaim" -}}
{{- .Values.compile.cache.existingClaim | default (printf "%s-engines" (include "onescan.fullname" .)) -}}
{{- end -}}

{{- define "onescan.partnersSource" -}}
{{- if .Values.partners.existingSecret }}secret{{ else if .Values.partners.toml }}configMap{{ end -}}
{{- end -}}
