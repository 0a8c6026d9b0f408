"""The audit file of a line: its records, the one writer, and its readers."""

from inspectd.recipes.audit.log import AuditLog
from inspectd.recipes.audit.reading import AuditFault, AuditSummary, history, in_force, read, shadowed, verify
from inspectd.recipes.audit.records import (
    DONE,
    FILE_ID,
    AuditAction,
    AuditRecord,
    InForce,
    format_in_force,
    parse_in_force,
)

__all__ = [
    "DONE",
    "FILE_ID",
    "AuditAction",
    "AuditFault",
    "AuditLog",
    "AuditRecord",
    "AuditSummary",
    "InForce",
    "format_in_force",
    "history",
    "in_force",
    "parse_in_force",
    "read",
    "shadowed",
    "verify",
]
