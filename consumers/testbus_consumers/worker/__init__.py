"""The Celery driver: raw CloudEvents from RabbitMQ to the policy in one hop."""
