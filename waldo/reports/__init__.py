"""One HTML page per kind of result, made with data.report."""
