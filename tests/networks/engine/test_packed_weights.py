"""What one process leaves on the disk for the next: the same numbers, or nothing."""

import hashlib
import multiprocessing
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from oracles.random_networks import he_parameters, random_images
from oracles.small_disk import in_small_file_system

from sklearn_decaf import _kernels
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import (
    Weights,
    disk_cache,
    get_architecture,
    load_weights,
    save_weights,
)
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.engine import Limits, Plan
from sklearn_decaf.networks.layers import Conv, Dense, ReLU
from sklearn_decaf.networks.weights import known_files, loading
from sklearn_decaf.networks.weights.parameters import FileParameters

compiled = pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="nothing is packed")
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

NET = get_architecture("squeezenet1_1")
LAST = "fire4"
# a convolution for each algorithm, and fully connected layers in one and in several blocks
MIXED = Architecture(
    "mixed",
    (
        Conv("conv", (INPUT,), filters=24, kernel_size=3, padding=1),
        Conv("winograd", (), filters=40, kernel_size=3, padding=1),
        Conv("depthwise", (), filters=40, kernel_size=3, padding=1, groups=40),
        Conv("matrix", (), filters=12, kernel_size=1),
        Conv("double", (), filters=8, kernel_size=3, padding=1, double_precision=True),
        Dense("fc1", (), units=20),
        ReLU("relu", ()),
        Dense("fc2", (), units=9),
    ),
    Preprocessing(crop=14, channel_order="bgr"),
    {5: "double", 6: "fc1", 7: "relu", 8: "fc2"},
)
assert Limits().dense_depth < 14 * 14 * 8


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache is on for small files too, and empty."""
    folder = tmp_path / "packed"
    monkeypatch.setenv(disk_cache.VARIABLE, str(folder))
    monkeypatch.setattr(disk_cache, "MIN_FILE", 0)
    monkeypatch.setattr(known_files, "AT_REST", -1.0)
    return folder


@pytest.fixture
def reads(monkeypatch):
    """How often a weight file was read since the last call."""
    calls, read = [], known_files.read_tensors

    def count(path, **options):
        calls.append(path)
        return read(path, **options)

    monkeypatch.setattr(known_files, "read_tensors", count)

    def since():
        n = len(calls)
        calls.clear()
        return n

    return since


def write(tmp_path, seed=0, name="w.safetensors", architecture="squeezenet1_1"):
    net = get_architecture(architecture)
    path = tmp_path / name
    save_weights(Weights(net, he_parameters(net, seed), "made up", ""), path)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path)


def start(path, architecture=None, **options):
    """As a new process would load a file."""
    loading._loaded.clear()
    loading._recent.clear()
    return load_weights(path, architecture, **options)


IMAGES = random_images(NET, 2)


def features(loaded, layer=LAST, exact=False):
    return Plan(loaded.architecture, loaded.parameters, [layer], exact=exact).run(IMAGES)[0]


def without_cache(path, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setenv(disk_cache.VARIABLE, "none")
        return features(start(path), **options)


def plan_arrays(plan):
    for stage in plan.stages:
        for packed in stage.packed.values():
            yield from packed.bias
            for group in packed.kernels:
                yield from [group] if isinstance(group, np.ndarray) else [p for _, p in group]
    for packed in plan.batch_stage.packed.values():
        yield packed.bias
        yield from (panels for block in packed.blocks for _, panels in block)


# What it is for -----------------------------------------------------------------------------------


@pytest.mark.slow
@compiled
def test_the_next_process_reads_nothing_and_computes_the_same(path, reads, monkeypatch):
    expected = without_cache(path, monkeypatch)
    reads()
    first = start(path)
    np.testing.assert_array_equal(features(first), expected)
    assert reads() == 1
    second = start(path)
    assert second is not first
    plan = Plan(second.architecture, second.parameters, [LAST])
    np.testing.assert_array_equal(plan.run(IMAGES)[0], expected)
    assert reads() == 0
    for array in plan_arrays(plan):
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable and not array.flags.owndata
    for name in ("sha256", "format", "certainty", "evidence", "source"):
        assert getattr(second, name) == getattr(first, name), name
    assert repr(second) == repr(first)
    assert second.available_layers() == first.available_layers()
    # layers that no plan had before are packed from the file, once
    deeper = without_cache(path, monkeypatch, layer="fire9")
    reads()
    np.testing.assert_array_equal(features(start(path), "fire9"), deeper)
    assert reads() == 1
    np.testing.assert_array_equal(features(start(path), "fire9"), deeper)
    assert reads() == 0


@pytest.mark.slow
def test_parameters_are_those_of_the_file(path, reads):
    expected = start(path).parameters
    second = start(path)
    reads()
    assert list(second.parameters) == list(expected) and len(second.parameters) == 52
    assert "conv1.kernel" in second.parameters and "conv1" not in second.parameters
    assert reads() == 0
    for name, values in second.parameters.items():
        np.testing.assert_array_equal(values, expected[name], strict=True)
        assert not values.flags.writeable
    assert reads() == 1
    with pytest.raises(KeyError):
        second.parameters["conv1"]
    with pytest.raises(TypeError):
        second.parameters["conv1.kernel"] = None


@pytest.mark.slow
@compiled
def test_what_is_mapped_is_not_held_twice(path):
    loaded = start(path)
    assert len(loaded.parameters._arrays) == 52
    features(loaded)
    left = set(loaded.parameters._arrays)
    assert left == {
        name
        for layer in NET.layer_names
        if NET[layer] not in NET.ancestors([LAST])
        for name in NET.layer_parameter_shapes(layer)
    }
    assert loaded.parameters["conv1.kernel"].shape == (3, 3, 3, 64)


@compiled
@pytest.mark.parametrize("exact", [False, True])
def test_every_kind_of_layer(exact, folder, monkeypatch):
    values, reads = he_parameters(MIXED), []

    def read():
        reads.append(1)
        return values

    images = random_images(MIXED, 3)
    expected = Plan(MIXED, values, ["double", "fc2"], exact=exact).run(images)
    for n in (1, 1):
        parameters = FileParameters(values, read, identity="a")
        plan = Plan(MIXED, parameters, ["double", "fc2"], exact=exact)
        for got, wanted in zip(plan.run(images), expected):
            np.testing.assert_array_equal(got, wanted)
        assert len(reads) == n
    # the fully connected layers are the same for exact plans: one file
    Plan(MIXED, FileParameters(values, read, identity="a"), ["fc2"], exact=not exact)
    assert len(list(folder.iterdir())) == 5 + 5 + 2


@pytest.mark.slow
@compiled
def test_a_process_of_its_own(path, tmp_path):
    """Other kernel sets have files of their own; all compute what they compute without."""
    program = """
import hashlib, sys
from sklearn_decaf import _kernels
from sklearn_decaf.networks import disk_cache, load_weights
from sklearn_decaf.networks.weights import known_files
from sklearn_decaf.networks.engine import Limits, Plan
import numpy as np
disk_cache.MIN_FILE, known_files.AT_REST = 0, -1.0
calls, read = [], known_files.read_tensors
known_files.read_tensors = lambda *a, **b: (calls.append(a), read(*a, **b))[1]
loaded = load_weights(sys.argv[1])
images = np.arange(227 * 227 * 3).reshape(1, 227, 227, 3).astype(np.uint8)
[rows] = Plan(loaded.architecture, loaded.parameters, ["fire3"]).run(images)
print(len(calls), hashlib.sha256(rows).hexdigest())
"""

    def run(kernels, cache):
        environment = {**os.environ, _kernels.OVERRIDE_VARIABLE: kernels}
        environment[disk_cache.VARIABLE] = str(cache)
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
        )
        return done.stdout.split()

    for kernels in _kernels.available_sets()[:2]:
        n, expected = run(kernels, "none")
        assert n == "1"
        assert run(kernels, tmp_path / "shared") == ["1", expected]
        assert run(kernels, tmp_path / "shared") == ["0", expected]


# Never the wrong numbers --------------------------------------------------------------------------


@pytest.mark.slow
def test_two_files_of_one_architecture(tmp_path, monkeypatch):
    paths = [write(tmp_path, seed, f"{seed}.safetensors") for seed in (0, 1)]
    expected = [without_cache(path, monkeypatch) for path in paths]
    assert (expected[0] != expected[1]).any()
    for _ in range(2):
        for path, rows in zip(paths, expected):
            np.testing.assert_array_equal(features(start(path)), rows)


@pytest.mark.slow
def test_exact_and_not(path, monkeypatch):
    expected = [without_cache(path, monkeypatch, exact=exact) for exact in (False, True)]
    for exact in (False, True, False, True):
        np.testing.assert_array_equal(features(start(path), exact=exact), expected[exact])


@pytest.mark.slow
@compiled
def test_two_networks_that_fit_one_file(tmp_path, monkeypatch):
    """CaffeNet and BVLC AlexNet: their parameters have the same names and shapes."""
    shapes = get_architecture("caffenet").parameter_shapes()
    rng = np.random.default_rng(0)
    names = [f"{layer}.{kind}" for layer in ("conv1", "conv2") for kind in ("kernel", "bias")]
    parameters = {name: rng.standard_normal(shapes[name], np.float32) for name in names}
    np.savez(tmp_path / "w.npz", **parameters)
    images = random_images(get_architecture("caffenet"), 1)
    rows = {}
    for switch in ("none", str(tmp_path / "packed")):
        monkeypatch.setenv(disk_cache.VARIABLE, switch)
        for name in ("caffenet", "bvlc_alexnet", "decaf", "caffenet"):
            loaded = start(tmp_path / "w.npz", name)
            assert loaded.architecture.name == name
            [got] = Plan(loaded.architecture, loaded.parameters, ["conv2"]).run(images)
            np.testing.assert_array_equal(rows.setdefault(name, got), got)
    assert (rows["caffenet"] != rows["bvlc_alexnet"]).any()


def test_weights_that_somebody_made_up_are_not_kept(folder):
    for seed in (0, 1):
        made_up = Weights(NET, he_parameters(NET, seed), "made up", "0" * 64)
        features(made_up)
    assert not folder.exists()


@pytest.mark.slow
@compiled
def test_another_engine_packs_anew(path, reads, folder, monkeypatch):
    expected = features(start(path))
    n = len(list(folder.iterdir()))
    monkeypatch.setattr(disk_cache, "ENGINE", "another engine")
    reads()
    np.testing.assert_array_equal(features(start(path)), expected)
    assert reads() == 1
    assert len(list(folder.iterdir())) == 2 * n


def test_all_that_numbers_depend_on_is_known(monkeypatch):
    known = {disk_cache._engine()}
    for place, name, value in (
        (_kernels, "KERNEL_SET", "other"),
        (disk_cache, "code_digest", lambda files: "edited"),
        (disk_cache, "_cpu_features", {"AVX512_SKX": False}),
        (np, "__version__", "3.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            known.add(disk_cache._engine())
    assert len(known) == 5
    names = disk_cache.sources(*disk_cache.ENGINE_SOURCES)
    for name in (
        "engine/plan",
        "engine/convolutions/algorithm_choice",
        "weights/conversion",
        "formats/npz",
    ):
        assert f"networks/{name}.py" in names
    assert "_kernels/tiles.py" in names and "_kernels/_functions.py" in names


@pytest.mark.slow
@compiled
def test_damage_of_any_kind_is_repaired(path, folder, reads, monkeypatch):
    """Flipped bits, files cut off, emptied, exchanged, replaced by others."""
    expected = without_cache(path, monkeypatch)
    features(start(path))
    files = sorted(folder.iterdir())
    intact = {file: file.read_bytes() for file in files}
    largest = sorted(files, key=lambda file: -len(intact[file]))[:3]
    rng = random.Random(0)
    for i in range(60):
        file = rng.choice(files if i % 2 else largest)
        content = bytearray(intact[file])
        kind = i % 6
        if kind < 3:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == 3:
            del content[rng.randrange(len(content)) :]
        elif kind == 4:
            content = bytearray(rng.choice([b"", b"something else", bytes(len(content))]))
        else:
            content = bytearray(intact[rng.choice([other for other in files if other != file])])
        file.write_bytes(content)
        np.testing.assert_array_equal(features(start(path)), expected)
        reads()
        np.testing.assert_array_equal(features(start(path)), expected)
        assert reads() == 0, "it was not repaired"
    assert sorted(folder.iterdir()) == files


# Weight files that change -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_was_replaced(path, tmp_path, reads, monkeypatch):
    """By another of the same size, with the same time of change."""
    first = features(start(path))
    before = path.stat()
    other = write(tmp_path, 1, "other.safetensors")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    second = features(start(path))
    assert (first != second).any()
    np.testing.assert_array_equal(second, without_cache(path, monkeypatch))


@pytest.mark.slow
def test_a_file_that_was_written_over(path, tmp_path, monkeypatch):
    """In place: the same inode, size and, set by hand, time of change."""
    features(start(path))
    before = path.stat()
    content = write(tmp_path, 1, "other.safetensors").read_bytes()
    time.sleep(0.05)  # longer than the grain of the clock of file systems
    with open(path, "r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino, after.st_size, after.st_mtime_ns
    )  # fmt: skip
    np.testing.assert_array_equal(features(start(path)), without_cache(path, monkeypatch))


def test_a_file_that_changed_between_loading_and_reading(path, tmp_path):
    start(path)
    loaded = start(path)  # remembered
    content = write(tmp_path, 1, "other.safetensors").read_bytes()
    with open(path, "r+b") as stream:
        stream.write(content)
    with pytest.raises(WeightsError, match=f"{path}: its sha256 is .*, not .*another one"):
        loaded.parameters["conv1.kernel"]


@pytest.mark.slow
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone_when_it_is_read(path, tmp_path, replaced):
    expected = dict(start(path).parameters)
    loaded = start(path)
    if replaced:
        os.replace(write(tmp_path, 1, "other.safetensors"), path)
    else:
        path.unlink()
    for name, values in expected.items():
        np.testing.assert_array_equal(loaded.parameters[name], values)


@pytest.mark.slow
def test_a_file_that_was_just_written_is_not_remembered(path, reads, folder, monkeypatch):
    """A change within the grain of the clock would not show in its times."""
    monkeypatch.setattr(known_files, "AT_REST", 2.0)
    start(path)
    assert not folder.exists()
    monkeypatch.setattr(known_files.time, "time", lambda: path.stat().st_ctime + 2.5)
    for n in (1, 0):
        reads()
        start(path)
        assert reads() == n


@pytest.mark.slow
def test_checksums_of_downloads_are_compared(path, reads):
    sha256, sha1 = (hashlib.new(name, path.read_bytes()).hexdigest() for name in ("sha256", "sha1"))

    def open_with(checksum):
        reads()
        known_files.open_weight_file(path, path.stat(), checksum=checksum, architecture=None)
        return reads()

    assert open_with(None) == 1
    assert open_with(None) == 0
    assert open_with(f"sha256:{sha256[:8]}") == 0  # that is known of it
    assert open_with(f"sha1:{sha1}") == 1
    assert open_with(f"sha1:{sha1}") == 0
    for wrong in ("sha1:" + "0" * 40, "sha256:" + "0" * 8):
        for _ in range(2):
            with pytest.raises(WeightsError, match="the file is damaged, or another one"):
                open_with(wrong)


def test_a_mean_image_in_the_file(tmp_path, reads):
    net = get_architecture("caffenet")
    shapes = net.layer_parameter_shapes("conv1")
    rng = np.random.default_rng(0)
    path = tmp_path / "w.npz"
    mean = rng.uniform(0, 255, (256, 256, 3)).astype(np.float32)
    np.savez(
        path,
        **{name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()},
        mean_image=mean,
        architecture="caffenet",
    )
    first, second = start(path), start(path)
    assert reads() == 1
    assert second.architecture == first.architecture
    np.testing.assert_array_equal(second.architecture.preprocessing.mean_image.pixels, mean)
    assert second.sha256 == first.sha256


@pytest.mark.slow
def test_an_architecture_that_was_told_is_not_remembered_for_others(tmp_path):
    shapes = get_architecture("caffenet").layer_parameter_shapes("conv1")
    path = tmp_path / "w.npz"
    np.savez(path, **{name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    assert start(path, "caffenet").architecture.name == "caffenet"
    assert start(path, "decaf").architecture.name == "decaf"
    with pytest.raises(WeightsError, match="fit caffenet and bvlc_alexnet"):
        start(path)


# The folder ---------------------------------------------------------------------------------------


def test_switched_off(path, folder, monkeypatch, data_home):
    monkeypatch.setenv(disk_cache.VARIABLE, "none")
    features(start(path))
    assert not folder.exists() and not any(data_home.iterdir())
    assert disk_cache.cache_folder() is None
    monkeypatch.delenv(disk_cache.VARIABLE)
    assert disk_cache.cache_folder() == data_home / "packed_weights"
    monkeypatch.setenv(disk_cache.VARIABLE, "~/there")
    monkeypatch.setenv("HOME", str(data_home))
    monkeypatch.setenv("USERPROFILE", str(data_home))
    assert disk_cache.cache_folder() == data_home / "there"


def test_small_files_are_not_kept(path, folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv(disk_cache.VARIABLE, str(folder))
    assert path.stat().st_size < disk_cache.MIN_FILE
    features(start(path))
    assert not folder.exists()


@pytest.mark.slow
def test_a_folder_that_cannot_be_made(path, folder, monkeypatch):
    expected = without_cache(path, monkeypatch)
    folder.write_text("a file")
    for _ in range(2):
        np.testing.assert_array_equal(features(start(path)), expected)
    assert folder.read_text() == "a file"


@pytest.mark.slow
@pytest.mark.parametrize("read_only", [False, True])
def test_full_and_read_only_disks(path, tmp_path, read_only):
    program = f"""
        import hashlib, os, pathlib, subprocess, sys, warnings
        warnings.simplefilter("error")
        import numpy as np
        from sklearn_decaf.networks import disk_cache, load_weights
        from sklearn_decaf.networks.weights import known_files, loading
        from sklearn_decaf.networks.engine import Limits, Plan
        disk_cache.MIN_FILE, known_files.AT_REST = 0, -1.0
        images = np.arange(227 * 227 * 3).reshape(1, 227, 227, 3).astype(np.uint8)
        def run(folder):
            os.environ[disk_cache.VARIABLE] = str(folder)
            loading._loaded.clear(), loading._recent.clear()
            loaded = load_weights({str(path)!r})
            [rows] = Plan(loaded.architecture, loaded.parameters, ["fire4"]).run(images)
            return hashlib.sha256(rows).hexdigest()
        folder = pathlib.Path(sys.argv[1])
        if {read_only}:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        expected = run("none")
        for _ in range(2):
            assert run(folder / "packed") == expected
        names = [p.name for p in folder.rglob("*")]
        assert not any(name.startswith(".") for name in names), names
        assert bool(names) != {read_only}
    """
    in_small_file_system(program, tmp_path, size="300k")


def test_old_versions_and_what_killed_processes_left(path, folder, monkeypatch):
    folder.mkdir()
    now = time.time()
    one, two = "1" * 40, "2" * 40
    old, left = f"{'0' * 16}-{one}.packed", f".{one[:32]}.packed"
    ages = {
        old: disk_cache.KEEP_OTHERS + 60,
        f"{'0' * 16}-{two}.packed": disk_cache.KEEP_OTHERS - 60,
        f"{disk_cache.ENGINE}-{one}.packed": disk_cache.KEEP_OTHERS + 60,
        left: disk_cache.KEEP_UNFINISHED + 60,
        f".{two[:32]}.packed": disk_cache.KEEP_UNFINISHED - 60,
        "notes.txt": 10 * disk_cache.KEEP_OTHERS,
    }
    for name, age in ages.items():
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (now - age, now - age))
    assert disk_cache.put({"k": 1}, None, [])
    names = {file.name for file in folder.iterdir()}
    assert set(ages) - names == {old, left}
    assert len(names) == len(ages) - 2 + 1


def test_what_was_not_used_for_longest_goes(folder, monkeypatch):
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 100_000)
    array = np.zeros(2_000, np.float32)  # 8 kB
    for i in range(40):
        assert disk_cache.put({"k": i}, i, [array])
        for age, file in enumerate(
            sorted(folder.iterdir(), key=lambda file: -file.stat().st_mtime)
        ):
            os.utime(file, (time.time() - 4000 * (age + 1),) * 2)
        assert disk_cache.get({"k": 0})[0] == 0  # which is a use
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 100_000
    kept = [i for i in range(40) if disk_cache.get({"k": i}) is not None]
    assert kept[0] == 0 and kept[1:] == list(range(40 - len(kept) + 1, 40))
    assert len(kept) >= 11
    assert not disk_cache.put({"k": "huge"}, None, [np.zeros(20_000, np.float32)])


def test_a_key_is_compared_and_not_only_its_name(folder):
    disk_cache.put({"k": 1}, "one", [])
    disk_cache.put({"k": 2}, "two", [])
    one, two = (folder / disk_cache._name({"k": k}) for k in (1, 2))
    os.replace(one, two)
    assert disk_cache.get({"k": 2}) is None
    assert disk_cache.get({"k": 1}) is None


@compiled
def test_files_of_others_are_left_alone(path, folder, monkeypatch):
    """Whatever the variable names may be a folder with other things in it."""
    folder.mkdir(exist_ok=True)
    others = [folder / name for name in ("holiday.packed", ".mine.packed", "notes.txt")]
    for other in others:
        other.write_bytes(b"not ours")
        os.utime(other, (0, 0))
    features(start(path))
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 1)
    disk_cache._make_room(folder)
    assert sorted(folder.iterdir()) == sorted(others)


# Crowds -------------------------------------------------------------------------------------------


def _compute(path, queue):
    queue.put(features(start(path)).tobytes())


@pytest.mark.slow
@compiled
@fork
def test_several_processes_at_once(path, folder, monkeypatch):
    expected = without_cache(path, monkeypatch).tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_compute, args=(path, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=120) for _ in processes] == [expected] * 4
    for process in processes:
        process.join()
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


@pytest.mark.slow
@compiled
@fork
def test_a_process_that_is_killed_while_it_packs(path, folder, monkeypatch):
    expected = without_cache(path, monkeypatch)
    context = multiprocessing.get_context("fork")
    rng = random.Random(0)
    for i in range(25):
        process = context.Process(target=_compute, args=(path, context.SimpleQueue()))
        process.start()
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        if i % 5 == 4:
            np.testing.assert_array_equal(features(start(path)), expected)
            for file in folder.iterdir():
                file.unlink()
