"""A plant's lines together, on NATS JetStream (`docs/fleet.md`)."""
