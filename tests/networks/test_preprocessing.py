"""What each network sees of a photograph, by the numbers published with its weights."""

import numpy as np
import pytest
from PIL import Image

from sklearn_decaf.images import resize_and_crop
from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.reference import preprocess

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8))
RESIZED = np.asarray(PHOTO.resize((256, 256), Image.Resampling.BILINEAR), np.float64)


def efficientnet(rgb):
    return (rgb - 127) / 128


def squeezenet(rgb):
    return np.stack([rgb[..., 2] - 104.006, rgb[..., 1] - 116.669, rgb[..., 0] - 122.679], axis=-1)


def torchvision(rgb):
    scaled = rgb / 255
    for channel, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        scaled[..., channel] = (scaled[..., channel] - mean) / std
    return scaled


NETWORKS = {
    "efficientnet_lite0": (224, 16, efficientnet),
    "squeezenet1_1": (227, 14, squeezenet),
    "alexnet": (224, 16, torchvision),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_crops(name):
    side, offset, scale = NETWORKS[name]
    picture, rest = scale(RESIZED.copy()), 256 - side
    corners = [(0, 0), (0, rest), (rest, 0), (rest, rest), (offset, offset)]
    squares = [picture[y : y + side, x : x + side] for y, x in corners]
    expected = np.stack(squares + [square[:, ::-1] for square in squares])

    wanted = get_architecture(name).preprocessing
    assert (wanted.resize, wanted.crop) == (256, side)
    how = {"size": wanted.resize, "crop": wanted.crop, "upside_down": wanted.flip_vertical}
    crops = resize_and_crop(PHOTO, ten_crop=True, **how)
    found = preprocess(wanted.level_crops(crops), wanted, np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    centre = resize_and_crop(PHOTO, **how)
    np.testing.assert_array_equal(preprocess(centre[None], wanted, np.float64)[0], found[4])
