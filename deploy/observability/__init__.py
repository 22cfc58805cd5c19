"""What operators watch: alerts, dashboards and runbooks, made from the metrics that the code declares."""
