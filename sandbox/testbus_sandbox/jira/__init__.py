"""A Jira, Cloud or Data Center: rules and store without HTTP, routes that translate, and a page to look at it."""
