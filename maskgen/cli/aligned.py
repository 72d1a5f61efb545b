"""What commands say about whether pictures are aligned."""

from __future__ import annotations

from typing import Final

_BY: Final = {
    "settings": "as you say",
    "run": "as the run says that wrote them",
    "sizes": "by the sizes of some; --aligned or --photographs says otherwise",
}


def aligned_said(is_aligned: bool, aligned_by: str) -> str:
    """Whether pictures are aligned, and how that is known."""
    return f"{'yes, 112x112 crops' if is_aligned else 'no, photographs'}: {_BY[aligned_by]}"
