"""What operators see of Gongji: the page of metrics, the rules for Prometheus, the dashboards of Grafana."""
