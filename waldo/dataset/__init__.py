"""Look at recordings, check them, mend them, cut and join them, in any format.

PATH is a file or folder, or the name of a dataset under $WALDO_DATASETS (else ./datasets). The format is recognised.
"""
