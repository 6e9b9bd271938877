"""ReportPortal and Slack on loopback, with their rules."""
