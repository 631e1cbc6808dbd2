{{/* Fails for an IPv4 prefix with bits set beyond its length, which the operator would refuse to begin with. A pattern cannot say
that; an IPv6 prefix is left to the operator. */}}
{{- define "spillway.checkPrefixes" -}}
{{- range $index, $prefix := .Values.failsafe.adminPrefixes -}}
{{- if not (contains ":" $prefix) -}}
{{- $parts := splitList "/" $prefix -}}
{{- $address := 0 -}}
{{- range splitList "." (first $parts) -}}
{{- $address = add (mul $address 256) (atoi .) -}}
{{- end -}}
{{- $size := 1 -}}
{{- range until (int (sub 32 (atoi (last $parts)))) -}}
{{- $size = mul $size 2 -}}
{{- end -}}
{{- if mod $address $size -}}
{{- fail (printf "failsafe.adminPrefixes[%d]: %s has host bits set" $index $prefix) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
