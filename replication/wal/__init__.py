"""SQLite's write-ahead log: the file beside a database that holds its newest commits.

    offset  size            part
    0       32              header
    32      24 + page_size  frame: a header of 24 bytes, then one page of the database
    ...                     more frames, each as large

Source: sqlite.org/fileformat2.html#the_write_ahead_log. Nothing is imported here, so that the parts that need no numpy
load without it.
"""
