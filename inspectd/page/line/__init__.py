"""The line as the page sees it: what its bus says, put into one state, and what it may be asked for."""
