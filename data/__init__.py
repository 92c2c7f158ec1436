"""The ground floor: episodes on disk and in memory. numpy above pyarrow and PyAV; no torch, no simulator."""
