"""Looking through a recording: one offline page with films and plots, charts of what is in it, logs for Rerun."""
