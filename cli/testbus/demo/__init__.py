"""The demo: the whole pipeline on one machine, with the sandbox for ReportPortal and Slack."""
