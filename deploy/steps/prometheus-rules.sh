#!/bin/sh
# Prints the rules of deploy/prometheus as PrometheusRule objects of the Prometheus operator:
#   deploy/steps/prometheus-rules.sh | kubectl apply -n guard -f -
set -eu
for file in "$(dirname "$0")"/../prometheus/rules/*.yml; do
    name=$(basename "$file" .yml | tr _ -)
    printf -- '---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: guard-%s\nspec:\n' "$name"
    sed 's/^\(.\)/  \1/' "$file"
done
