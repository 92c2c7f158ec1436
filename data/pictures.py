"""Pictures that are compressed one by one, as recordings in HDF5 and logs keep them."""

from __future__ import annotations

import cv2
import numpy as np

from data.errors import DatasetError
from data.source import Size


def unpack(content: bytes, bgr: bool, where: str, mend: str) -> np.ndarray:
    """An image file, perhaps with zeros after it, as uint8 (H, W, 3) RGB.

    bgr   whether red and blue are exchanged in it
    Raises DatasetError that starts with `where` and ends with `mend`.
    """
    # OpenCV fills the missing part of a JPEG with grey and says nothing: look for the end.
    whole = not content.startswith(b"\xff\xd8") or b"\xff\xd9" in content
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content and whole else None
    if image is None:
        raise DatasetError(f"{where} {'is no image that OpenCV can read' if whole else 'is cut off'}; {mend}")
    return np.asarray(image if bgr else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def resized(image: np.ndarray, size: Size | None) -> np.ndarray:
    """image (H, W, 3) at another size (height, width), by area averaging; None leaves it as it is."""
    if size is None or image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA))
