// Package crds names the modules whose CustomResourceDefinitions the manifests are checked against.
package crds

import (
	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"              // Certificate, Issuer
	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1" // PodMonitor, PrometheusRule
)
