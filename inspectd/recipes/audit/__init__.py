"""The audit file of a line: its records, the one writer, and its readers."""

from inspectd.recipes.audit.changes import AuditEntry, append_record, recorded_change
from inspectd.recipes.audit.log import AuditLog
from inspectd.recipes.audit.mark import read_mark
from inspectd.recipes.audit.reading import (
    AuditFault,
    AuditSummary,
    changes_in_force,
    history,
    in_force,
    is_take_back,
    last_change,
    last_import,
    newest_first,
    read,
    record_in_force,
    shadowed,
    verify,
    without_beginnings,
)
from inspectd.recipes.audit.records import (
    BEGUN,
    DONE,
    FILE_NAME,
    AuditAction,
    AuditRecord,
    InForce,
    format_in_force,
    parse_in_force,
    puts_in_force,
)

__all__ = [
    "BEGUN",
    "DONE",
    "FILE_NAME",
    "AuditAction",
    "AuditEntry",
    "AuditFault",
    "AuditLog",
    "AuditRecord",
    "AuditSummary",
    "InForce",
    "append_record",
    "changes_in_force",
    "format_in_force",
    "history",
    "in_force",
    "is_take_back",
    "last_change",
    "last_import",
    "newest_first",
    "parse_in_force",
    "puts_in_force",
    "read",
    "read_mark",
    "record_in_force",
    "recorded_change",
    "shadowed",
    "verify",
    "without_beginnings",
]
