"""Folders of images: what is found, in which order, and what is said about the rest."""

import errno
import os
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_decaf.datasets import IMAGE_EXTENSIONS, load_image_folder
from sklearn_decaf.images import read_image


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make_files(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")  # only names are read
    return root


def relative(root, filenames):
    return [Path(filename).relative_to(root).as_posix() for filename in filenames]


def make_link(link, target):
    try:
        link.symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError) as error:
        pytest.skip(f"no symbolic links here: {error}")


def test_classes_files_and_targets_are_sorted(tmp_path):
    make_files(tmp_path, "dog/b.jpg", "cat/2.png", "dog/a.jpg", "cat/10.png", "Bird/x.jpg")
    data = load_image_folder(tmp_path)
    assert list(data.target_names) == ["Bird", "cat", "dog"]
    assert relative(tmp_path, data.filenames) == [
        *("Bird/x.jpg", "cat/10.png", "cat/2.png", "dog/a.jpg", "dog/b.jpg")
    ]
    np.testing.assert_array_equal(data.target, [0, 1, 1, 2, 2])
    assert data.target.dtype == np.intp
    assert data.ignored == []
    assert "- cat: 2" in data.DESCR


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    make_files(tmp_path, *(f"{label}/{i}.jpg" for label in "abc" for i in range(5)))
    expected = load_image_folder(tmp_path)
    scandir = os.scandir

    class Reversed:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *args):
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    again = load_image_folder(tmp_path)
    np.testing.assert_array_equal(again.filenames, expected.filenames)
    np.testing.assert_array_equal(again.target, expected.target)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode, lambda path: f"{path}{os.sep}"])
def test_kinds_of_directory(tmp_path, kind):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg")
    data = load_image_folder(kind(tmp_path))
    assert all(isinstance(filename, str) for filename in data.filenames)
    assert relative(tmp_path, data.filenames) == ["a/1.jpg", "b/1.jpg"]


def test_relative_directory_gives_relative_paths(tmp_path, monkeypatch):
    make_files(tmp_path, "pets/a/1.jpg", "pets/b/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(load_image_folder("pets").filenames) == [
        *(os.path.join("pets", "a", "1.jpg"), os.path.join("pets", "b", "1.jpg"))
    ]
    monkeypatch.chdir(tmp_path / "pets")
    assert len(load_image_folder(".").filenames) == 2


def test_home_directory_is_expanded(tmp_path, monkeypatch):
    make_files(tmp_path, "pets/a/1.jpg", "pets/b/1.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert relative(tmp_path, load_image_folder("~/pets").filenames) == [
        *("pets/a/1.jpg", "pets/b/1.jpg")
    ]


def test_return_X_y_and_description(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg")
    filenames, target = load_image_folder(tmp_path, return_X_y=True)
    data = load_image_folder(tmp_path, description="Two files")
    np.testing.assert_array_equal(filenames, data.filenames)
    np.testing.assert_array_equal(target, data.target)
    assert data.DESCR == "Two files"


def test_shuffle_keeps_pairs_and_is_reproducible(tmp_path):
    make_files(tmp_path, *(f"{label}/{i}.jpg" for label in "abc" for i in range(9)))
    data = load_image_folder(tmp_path, shuffle=True)
    assert list(data.filenames) != sorted(data.filenames)
    names = [Path(filename).parent.name for filename in data.filenames]
    np.testing.assert_array_equal(data.target_names[data.target], names)
    again = load_image_folder(tmp_path, shuffle=True)
    np.testing.assert_array_equal(again.filenames, data.filenames)
    other = load_image_folder(tmp_path, shuffle=True, random_state=1)
    assert list(other.filenames) != list(data.filenames)
    assert set(other.filenames) == set(data.filenames)


# what is an image


def test_suffixes_ignore_case(tmp_path):
    make_files(tmp_path, "a/1.JPG", "a/2.Jpeg", "a/3.TIFF", "b/1.webp", "b/archive.tar.png")
    assert len(load_image_folder(tmp_path).filenames) == 5


@pytest.mark.parametrize("extensions", [".dat", "DAT", [".dat"], ("dat", ".raw")])
def test_extensions_with_and_without_dot(tmp_path, extensions):
    make_files(tmp_path, "a/1.dat", "b/1.DAT")
    assert len(load_image_folder(tmp_path, extensions=extensions).filenames) == 2


@pytest.mark.parametrize("extensions", [[], "", ["."], [".jpg", ""]])
def test_extensions_must_say_something(tmp_path, extensions):
    make_files(tmp_path, "a/1.jpg")
    with pytest.raises(ValueError, match="extensions must name at least one suffix"):
        load_image_folder(tmp_path, extensions=extensions)


def test_hidden_and_thumbnail_files_are_listed_without_a_warning(tmp_path):
    hidden = [
        *("a/.DS_Store", "a/._1.jpg", "a/Thumbs.db", "b/desktop.ini", ".git/config", ".hidden.jpg"),
        *("a/.thumbnails/1.jpg", "__MACOSX/a/1.jpg", "b/@eaDir/1.jpg"),
    ]
    make_files(tmp_path, "a/1.jpg", "b/1.jpg", *hidden)
    data = load_image_folder(tmp_path)
    assert relative(tmp_path, data.filenames) == ["a/1.jpg", "b/1.jpg"]
    assert sorted(relative(tmp_path, data.ignored)) == [
        *(".git", ".hidden.jpg", "__MACOSX", "a/.DS_Store", "a/._1.jpg", "a/.thumbnails"),
        *("a/Thumbs.db", "b/@eaDir", "b/desktop.ini"),
    ]


def test_other_files_are_left_out_with_one_warning(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg", "a/1.xml", "a/2.xml", "b/notes", "README.txt")
    with pytest.warns(UserWarning) as record:
        data = load_image_folder(tmp_path)
    assert len(record) == 1
    message = str(record[0].message)
    assert "left out 4 entries (.xml: 2" in message
    assert ".txt: 1" in message and "no suffix: 1" in message
    assert "have no class" not in message
    assert record[0].filename == __file__
    assert relative(tmp_path, data.filenames) == ["a/1.jpg", "b/1.jpg"]
    assert sorted(relative(tmp_path, data.ignored)) == [
        *("README.txt", "a/1.xml", "a/2.xml", "b/notes")
    ]


def test_images_beside_the_class_folders_are_left_out_with_a_warning(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg", "stray.jpg", "c.PNG", "list.txt")
    with pytest.warns(UserWarning, match="2 of them are images that lie beside the class folders"):
        data = load_image_folder(str(tmp_path) + os.sep)
    assert len(data.filenames) == 2
    assert sorted(relative(tmp_path, data.ignored)) == ["c.PNG", "list.txt", "stray.jpg"]


def test_folders_inside_a_class_belong_to_it(tmp_path):
    make_files(tmp_path, "a/2020/x/1.jpg", "a/2021/1.jpg", "a/0.jpg", "b/1.jpg")
    data = load_image_folder(tmp_path)
    assert relative(tmp_path, data.filenames) == [
        *("a/0.jpg", "a/2020/x/1.jpg", "a/2021/1.jpg", "b/1.jpg")
    ]
    np.testing.assert_array_equal(data.target, [0, 0, 0, 1])


def test_a_folder_named_like_an_image_is_a_folder(tmp_path):
    make_files(tmp_path, "a/1.jpg/x.jpg", "a/2.jpg", "b.jpg/1.jpg")
    data = load_image_folder(tmp_path)
    assert list(data.target_names) == ["a", "b.jpg"]
    assert relative(tmp_path, data.filenames) == ["a/1.jpg/x.jpg", "a/2.jpg", "b.jpg/1.jpg"]


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
def test_default_extensions_are_formats_that_can_be_read(tmp_path, extension):
    path = tmp_path / f"a/image{extension}"
    path.parent.mkdir()
    other_names = dict.fromkeys([".jif", ".jfi", ".pjpeg", ".pjp"], "JPEG")
    try:
        mode, value = ("F", 0.4) if extension == ".pfm" else ("L", 100)
        Image.new(mode, (8, 6), value).save(path, other_names.get(extension))
    except (KeyError, ValueError, OSError):
        pytest.skip(f"Pillow {PIL.__version__} here does not write {extension}")
    (filename,) = load_image_folder(tmp_path).filenames
    assert read_image(filename).size == (8, 6)


# classes


def test_classes_choose_and_order(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg", "c/1.jpg", "empty/notes.txt")
    data = load_image_folder(tmp_path, classes=["c", "a"])
    assert list(data.target_names) == ["c", "a"]
    assert relative(tmp_path, data.filenames) == ["c/1.jpg", "a/1.jpg"]
    np.testing.assert_array_equal(data.target, [0, 1])
    again = load_image_folder(tmp_path, classes=data.target_names)  # an array of numpy strings
    np.testing.assert_array_equal(again.filenames, data.filenames)


@pytest.mark.parametrize(
    "classes, error, match",
    [
        (["a", "z"], ValueError, "not there: 'z'; .* holds 'a', 'b'"),
        (["a", "b", "a"], ValueError, "more than once: 'a'"),
        ([], ValueError, "classes is empty"),
        ("ab", TypeError, "sequence of folder names"),
        (3, TypeError, "sequence of folder names"),
        (["../a"], ValueError, "not there"),
    ],
)
def test_wrong_classes(tmp_path, classes, error, match):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(error, match=match):
        load_image_folder(tmp_path, classes=classes)


# directories that cannot be right


def test_missing_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_image_folder(tmp_path / "nowhere")


def test_file_instead_of_a_directory(tmp_path):
    make_files(tmp_path, "1.jpg")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_image_folder(tmp_path / "1.jpg")


def test_directory_of_another_type():
    with pytest.raises(TypeError, match="int"):
        load_image_folder(3)


def test_empty_directory(tmp_path):
    with pytest.raises(ValueError, match="holds no class folders: move the images"):
        load_image_folder(tmp_path)


def test_flat_folder_of_images(tmp_path):
    make_files(tmp_path, "1.jpg", "2.jpg", "notes.txt", ".git/x")
    with pytest.raises(ValueError, match=r"holds 2 images, but no class folders: move .* paths"):
        load_image_folder(tmp_path)


def test_empty_class_folder(tmp_path):
    make_files(tmp_path, "a/1.jpg")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*b.* holds no image .*remove it"):
        load_image_folder(tmp_path)
    assert len(load_image_folder(tmp_path, classes=["a"]).filenames) == 1


def test_class_folder_with_other_files_only(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.heic", "b/2.heic", "c/.keep")
    with pytest.raises(
        ValueError, match=r"b.* \(nor do 1 others\); it holds 2 entries \(.heic: 2\)"
    ):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "validation"), ("test",)])
def test_parts_of_a_data_set_are_not_classes(tmp_path, names):
    make_files(tmp_path, *(f"{name}/{label}/1.jpg" for name in names for label in "ab"))
    with pytest.raises(ValueError, match=r"do not look like classes.*Load one at a time"):
        load_image_folder(tmp_path)
    assert list(load_image_folder(tmp_path / names[0]).target_names) == ["a", "b"]
    assert list(load_image_folder(tmp_path, classes=names).target_names) == list(names)


def test_one_folder_that_holds_the_class_folders(tmp_path):
    make_files(tmp_path, "101_ObjectCategories/ant/1.jpg", "101_ObjectCategories/bee/1.jpg")
    with pytest.raises(ValueError, match=r"do not look like classes.*101_ObjectCategories"):
        load_image_folder(tmp_path)


def test_a_single_class_is_fine(tmp_path):
    make_files(tmp_path, "ant/1.jpg", "ant/more/2.jpg")
    np.testing.assert_array_equal(load_image_folder(tmp_path).target, [0, 0])


# links


def test_linked_files_and_folders_are_followed(tmp_path):
    make_files(tmp_path, "store/x/1.jpg", "store/2.jpg", "data/a/0.jpg", "data/b/0.jpg")
    make_link(tmp_path / "data/a/x", tmp_path / "store/x")
    make_link(tmp_path / "data/b/2.jpg", tmp_path / "store/2.jpg")
    make_link(tmp_path / "data/c", tmp_path / "store")
    data = load_image_folder(tmp_path / "data")
    assert relative(tmp_path / "data", data.filenames) == [
        *("a/0.jpg", "a/x/1.jpg", "b/0.jpg", "b/2.jpg", "c/2.jpg", "c/x/1.jpg")
    ]


@pytest.mark.parametrize("target", ["a", "a/deep", "", ".."])
def test_loops_of_links_end(tmp_path, target):
    root = make_files(tmp_path / "data", "a/deep/1.jpg", "a/2.jpg", "b/1.jpg")
    make_link(root / "a/deep/loop", (root / target).resolve())
    with pytest.warns(UserWarning, match="left out 1 entries .*loop"):
        data = load_image_folder(root)
    assert relative(root, data.filenames) == ["a/2.jpg", "a/deep/1.jpg", "b/1.jpg"]
    assert relative(root, data.ignored) == ["a/deep/loop"]


def test_links_that_multiply_paths_read_each_folder_once(tmp_path):
    for level in range(40):  # 2 ** 40 paths lead down
        (tmp_path / f"store/{level}").mkdir(parents=True)
    for level in range(39):
        for name in ("left", "right"):
            make_link(tmp_path / f"store/{level}/{name}", tmp_path / f"store/{level + 1}")
    make_files(tmp_path, "store/39/1.jpg", "data/b/1.jpg", "data/a/0.jpg")
    make_link(tmp_path / "data/a/in", tmp_path / "store/0")
    with pytest.warns(UserWarning, match="left out 39 entries"):
        data = load_image_folder(tmp_path / "data")
    assert len(data.filenames) == 3


def test_class_folder_linked_to_the_directory_itself(tmp_path):
    make_files(tmp_path, "a/1.jpg")
    make_link(tmp_path / "loop", tmp_path)
    with pytest.raises(ValueError, match=r"class folder .*loop.* holds no image"):
        load_image_folder(tmp_path)


def test_broken_links_and_sockets_are_left_out_with_a_warning(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg")
    make_link(tmp_path / "a/gone.jpg", tmp_path / "nowhere.jpg")
    expected = ["a/gone.jpg"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "b/pipe.jpg")
        expected.append("b/pipe.jpg")
    with pytest.warns(UserWarning, match=f"left out {len(expected)} entries"):
        data = load_image_folder(tmp_path)
    assert len(data.filenames) == 2
    assert relative(tmp_path, data.ignored) == expected


@pytest.mark.parametrize("classes", [None, ["a", "c"]])
def test_folders_that_cannot_be_listed_are_named_in_a_warning(tmp_path, monkeypatch, classes):
    """Within a class and as a class; of classes that were asked for, none may be left out."""
    make_files(tmp_path, "a/1.jpg", "a/locked/1.jpg", "c/1.jpg", "b/1.jpg")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) in ("b", "locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match=r"locked' cannot be listed: Permission") as caught:
        data = load_image_folder(tmp_path, classes=classes)
    assert ("b' cannot be listed" in str(caught[0].message)) == (classes is None)
    assert relative(tmp_path, data.filenames) == ["a/1.jpg", "c/1.jpg"]
    assert list(data.target_names) == ["a", "c"]
    np.testing.assert_array_equal(data.target, [0, 1])
    unlisted = ["b", "a/locked"] if classes is None else ["a/locked"]
    assert sorted(relative(tmp_path, data.ignored)) == sorted(unlisted)
    with pytest.raises(PermissionError, match="b"):
        load_image_folder(tmp_path, classes=["a", "b"])


def test_folders_of_systems_are_no_classes(tmp_path):
    """Of network drives, say; an empty class folder would raise."""
    make_files(tmp_path, "cat/1.jpg", "cat/@eaDir/1.jpg/X.jpg", "dog/1.jpg", "#recycle/old.jpg")
    for name in ("lost+found", "System Volume Information", "$RECYCLE.BIN", "@Recycle"):
        (tmp_path / name).mkdir()
    data = load_image_folder(tmp_path)
    assert list(data.target_names) == ["cat", "dog"]
    assert relative(tmp_path, data.filenames) == ["cat/1.jpg", "dog/1.jpg"]


# names


def test_unicode_spaces_and_line_breaks_in_names(tmp_path):
    names = ["Käfer/ä ö.jpg", "猫/写真 1.jpg", "🐕/a\tb.jpg"]
    make_files(tmp_path, *names)
    data = load_image_folder(tmp_path)
    found = [unicodedata.normalize("NFC", name) for name in relative(tmp_path, data.filenames)]
    assert found == sorted(names)
    assert all(os.path.isfile(filename) for filename in data.filenames)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(tmp_path, capsys):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for name in (b"/\xff.jpg", b"/\xfe.txt"):
        with open(folder + name, "wb"):
            pass
    make_files(tmp_path, "a/1.jpg")
    with pytest.warns(UserWarning) as record:
        data = load_image_folder(tmp_path)
    assert [os.fsencode(name) for name in data.target_names] == [b"a", b"caf\xe9"]
    assert all(os.path.isfile(filename) for filename in data.filenames)
    print(record[0].message)  # can be printed: lone surrogates are escaped
    assert "\\udcfe.txt" in capsys.readouterr().out


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(
        st.text("abcXYZ-_ 019", min_size=1, max_size=5).filter(lambda s: s.strip() == s),
        st.sets(st.text("abc01", min_size=1, max_size=4), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_every_image_is_found_once_with_its_folder_as_class(tmp_path_factory, tree):
    root = tmp_path_factory.mktemp("tree")
    if len({name.lower() for name in tree}) < len(tree):
        return  # the same folder on a file system without case
    expected = sorted((label, f"{name}.jpg") for label, names in tree.items() for name in names)
    make_files(root, *("/".join(pair) for pair in expected))
    data = load_image_folder(root)
    assert [Path(filename).parts[-2:] for filename in data.filenames] == expected
    assert [data.target_names[label] for label in data.target] == [pair[0] for pair in expected]


# in scikit-learn


def _sizes(filenames):
    return np.array([[os.path.getsize(filename)] for filename in filenames])


def test_paths_split_and_travel_through_a_grid_search(tmp_path):
    for label, size in (("big", 1000), ("small", 10)):
        for i in range(8):
            path = tmp_path / label / f"{i}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * (size + i))
    X, y = load_image_folder(tmp_path, return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(_sizes), KNeighborsClassifier())
    search = GridSearchCV(pipeline, {"kneighborsclassifier__n_neighbors": [1, 2]}, cv=3)
    assert search.fit(X_train, y_train).score(X_test, y_test) == 1


def test_photographs_of_telephones_are_not_left_out_without_advice(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/1.jpg", "b/IMG_1.HEIC")
    with pytest.warns(UserWarning, match=r"\.heic: 1.*pillow-heif"):
        load_image_folder(tmp_path)
