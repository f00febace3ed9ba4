"""The LTX file format: the pages changed by a contiguous range of transactions.

    offset        size    part
    0             100     header
    100           varies  page frames, ascending by page number
    ...           6       zeros: the end of the page frames
    ...           varies  page index: where each page frame is
    size - 24     8       size of the page index, in bytes
    size - 16     16      trailer: checksums

Nothing is imported here, so that the parts that need no numpy load without it.
"""
