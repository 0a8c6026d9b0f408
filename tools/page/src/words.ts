/** Closed lists of the line, in the order in which they are offered. */

export const REASONS = [
  "within_threshold", "above_threshold", "deadline", "overload", "missed_trigger", "no_part", "black", "frozen", "partial",
  "stale", "format", "frame_lost", "camera_settings", "quality_exposure", "quality_colour", "quality_scene", "quality_position",
  "quality_focus", "scoring_down", "scoring_lost", "scoring_error", "golden", "golden_overdue", "golden_failed", "shutdown",
  "restarted",
] as const;

export const ROLES = ["viewer", "operator", "inspector", "engineer", "quality", "admin"] as const;
