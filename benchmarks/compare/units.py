"""Numbers as a table or a plot shows them."""

import math


def seconds(value: float) -> str:
    """Return a duration with two or three digits.

    >>> seconds(0.00312), seconds(0.0587), seconds(1.309), seconds(17.2), seconds(318.8)
    ('3.1 ms', '59 ms', '1.31 s', '17.2 s', '5 min 19 s')
    """
    if value < 0.01:
        return f"{value * 1e3:.1f} ms"
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 119.95:
        return f"{value:.1f} s"
    return f"{round(value) // 60} min {round(value) % 60} s"


def size(value: float) -> str:
    """Return a number of bytes.

    >>> size(7138), size(646844), size(37795932)
    ('7.1 kB', '647 kB', '37.8 MB')
    """
    if value < 99_950:
        return f"{value / 1e3:.1f} kB"
    if value < 999_500:
        return f"{value / 1e3:.0f} kB"
    return f"{value / 1e6:.1f} MB"


def factor(value: float) -> str:
    """Return how many times something is more.

    >>> factor(2.72), factor(13.4), factor(371.2)
    ('2.7', '13', '371')
    """
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def decades(values: list[float]) -> range:
    """Return the powers of ten from at or below the least to above the greatest, as exponents.

    >>> list(decades([0.03, 250.0]))
    [-2, -1, 0, 1, 2, 3]
    """
    first = math.floor(math.log10(min(values)))
    return range(first, max(math.ceil(math.log10(max(values))), first + 1) + 1)
