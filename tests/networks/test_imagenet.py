"""The 1000 classes."""

import csv
import re

from sklearn_decaf.networks.imagenet import imagenet_classes, imagenet_wnids


def test_thousand_sorted_identifiers():
    wnids = imagenet_wnids()
    assert len(set(wnids)) == 1000
    assert wnids == sorted(wnids)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)


def test_names():
    names = imagenet_classes()
    assert len(names) == 1000
    assert all(name == name.strip() != "" for name in names)
    assert names[0] == "tench, Tinca tinca"
    assert names[999].startswith("toilet tissue")
    # the one name that two classes share: a bird and a machine
    assert [i for i, name in enumerate(names) if name == "crane"] == [134, 517]
    assert len(set(names)) == 999


def test_result_can_be_changed_without_harm():
    imagenet_classes().clear()
    imagenet_wnids().clear()
    assert len(imagenet_classes()) == len(imagenet_wnids()) == 1000


def test_labels_of_published_samples(shared_data):
    wnids, names = imagenet_wnids(), imagenet_classes()
    with open(shared_data / "imagenet_sample_images_100" / "labels.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 100
    for row in rows:
        index = int(row["class_index"])
        assert wnids[index] == row["wnid"]
        assert row["name"].replace("_", " ").lower() in names[index].lower()
