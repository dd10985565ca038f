"""The marker board as a page to print: vector graphics at true scale, with a line to measure.

    Board, page size  ->  board_pdf  ->  bytes of a PDF file

Lengths in a PDF are points of 1/72 inch (ISO 32000, 8.3.2.3), so that the page is as large as it says unless a printer
"fits" it: hence the line of 100 mm and the words beside it.
"""

from __future__ import annotations

import numpy as np

from iker_envs.perception.board import Board, marker_cells

PAGES_M = {"a4": (0.297, 0.210), "letter": (0.2794, 0.2159), "a3": (0.420, 0.297)}
_POINTS_PER_M = 72 / 0.0254
_RULER_M = 0.100
_MARGIN_M = 0.004
_TEXT_PT = 8


def board_pdf(board: Board, page: str = "a4") -> bytes:
    """One page in landscape; ValueError if the page is unknown or the board does not fit on it."""
    if page not in PAGES_M:
        raise ValueError(f"page is {', '.join(PAGES_M)}, not {page!r}")
    width, height = PAGES_M[page]
    if board.size_m[0] > width - 2 * _MARGIN_M or board.size_m[1] > height - 4 * _MARGIN_M:
        size = " x ".join(f"{1000 * s:g}" for s in board.size_m)
        raise ValueError(f"a board of {size} mm does not fit on {page} ({1000 * width:g} x {1000 * height:g} mm)")
    left = (width - board.size_m[0]) / 2
    top = (height - board.size_m[1]) / 2 - _MARGIN_M
    drawn = [_rectangle(x + left, y + top, w, h, height) for x, y, w, h in black_rectangles(board)]
    return _document((width, height), "\n".join(["0 g", *drawn, _ruler(board, left, top, height)]))


def black_rectangles(board: Board) -> list[tuple[float, float, float, float]]:
    """Left, top, width, height of all that is black, in metres from the board's upper left corner."""
    square = board.square_m
    marker = board.marker_m / 7
    found = []
    markers = marker_cells(board)
    white = {tuple(np.floor(corner / square).astype(int)) for corner, _ in markers}
    for column in range(board.columns):
        for row in range(board.rows):
            if (column, row) not in white:
                found.append((column * square, row * square, square, square))
    for corner, cells in markers:
        for row, line in enumerate(cells):
            for start, count in _runs(line):
                found.append((corner[0] + start * marker, corner[1] + row * marker, count * marker, marker))
    return found


def _runs(line: np.ndarray) -> list[tuple[int, int]]:
    """Where black begins and how far it goes, along a row of cells."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _rectangle(left: float, top: float, width: float, height: float, page_height: float) -> str:
    low = page_height - top - height
    return " ".join(f"{_POINTS_PER_M * v:.4f}" for v in (left, low, width, height)) + " re f"


def _ruler(board: Board, left: float, top: float, page_height: float) -> str:
    """A line of 100 mm below the board, with ends, and what to do with it."""
    y = page_height - top - board.size_m[1] - 2.5 * _MARGIN_M
    ends = [_rectangle(left + x, page_height - y - 0.002, 0.0003, 0.004, page_height) for x in (0.0, _RULER_M)]
    line = _rectangle(left, page_height - y - 0.00015, _RULER_M, 0.0003, page_height)
    words = f"{board.text}. Print at 100 %; this line is 100 mm long. Glue the page onto something flat and stiff."
    place = f"{_POINTS_PER_M * (left + _RULER_M + 0.004):.2f} {_POINTS_PER_M * y - _TEXT_PT / 3:.2f}"
    return "\n".join([*ends, line, f"BT /F1 {_TEXT_PT} Tf {place} Td ({words}) Tj ET"])


def _document(page_m: tuple[float, float], content: str) -> bytes:
    """A PDF of one page whose content stream is given."""
    box = " ".join(f"{_POINTS_PER_M * side:.4f}" for side in page_m)
    stream = content.encode("ascii")
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {box}] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
        .encode("ascii"),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]  # fmt: skip
    body = b"%PDF-1.4\n"
    offsets = []
    for number, part in enumerate(parts, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(parts) + 1
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n" % (size, table, size)
    return body + end + b"startxref\n%d\n%%%%EOF\n" % len(body)
