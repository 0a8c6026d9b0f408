"""Which role may do what on the page, and what each of its addresses asks for: as it was agreed."""

from __future__ import annotations

GOLDEN = {"golden_begin", "golden_show", "golden_end"}
RECIPES = {"recipe_prepare", "recipe_unprepare", "recipe_activate"}
MAY = {
    "viewer": {"view"},
    "operator": {"view", "order"} | GOLDEN,
    "inspector": {"view", "order", "export", "explain"} | GOLDEN,
    "engineer": {"view", "order", "export", "explain"} | GOLDEN | RECIPES,
    "quality": {"view", "export", "explain", "audit"} | GOLDEN,
    "admin": {"view", "audit", "users", "sessions"},
}

ADDRESSES = {
    ("GET", "/api/me"): "view",
    ("GET", "/api/line"): "view",
    ("GET", "/api/recipes"): "view",
    ("GET", "/api/golden"): "view",
    ("GET", "/api/events"): "view",
    ("GET", "/api/strip/1/1"): "view",
    ("GET", "/api/verdicts"): "view",
    ("GET", "/api/trends?from_ms=0&to_ms=1"): "view",
    ("GET", "/api/parts/1/1"): "view",
    ("GET", "/api/parts/1/1/picture"): "view",
    ("GET", "/api/parts/1/1/heatmap"): "view",
    ("GET", "/api/verdicts.csv"): "export",
    ("POST", "/api/parts/1/1/explain"): "explain",
    ("POST", "/api/me/language"): "view",
    ("POST", "/api/me/password"): "view",
    ("POST", "/api/me/unlock"): "view",
    ("GET", "/api/users"): "users",
    ("POST", "/api/users"): "users",
    ("GET", "/api/sessions"): "sessions",
    ("POST", "/api/sessions/revoke"): "sessions",
    ("GET", "/api/audit"): "audit",
    ("POST", "/api/acts/order_begin"): "order",
    ("POST", "/api/acts/order_end"): "order",
    **{("POST", f"/api/acts/{act}"): act for act in GOLDEN | RECIPES},
}
