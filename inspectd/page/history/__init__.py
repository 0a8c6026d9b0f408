"""What happened at a line: a read model of the page's own, its questions, and their routes.

    store    the file: rows, aggregates and the reader's cursor in one transaction; retention
    filler   the thread that fills it from the bus
    queries  rows by filter, `trends` over time, `csv_export`; `asking` runs them in threads with a time limit
    evidence pictures that were kept, and why one was not
    routes   all of it over HTTP

The file is a cache: it can be deleted, and fills again from the line's journal as far back as that reaches.
"""
