"""Who may use the page, and for what: roles, users, sessions, logins, and the record of what was done."""
