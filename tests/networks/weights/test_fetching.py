"""Registered weights: fetched from a server, found again, and refused without one."""

import copy
import hashlib
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from joblib import Parallel, delayed
from oracles import protobuf_writer
from oracles.file_server import FileServer, serve, status
from oracles.processes import outcome, put_outcome
from oracles.random_networks import he_parameters
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_decaf import DeCAFTransformer, extract
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import fetch_weights, get_architecture, list_weights, load
from sklearn_decaf.networks.weights import load_weights, registry

PARAMETERS = he_parameters(get_architecture("caffenet"))
MODEL = protobuf_writer.caffemodel(
    {
        "conv1": (
            "Convolution",
            [PARAMETERS["conv1.kernel"].transpose(3, 2, 0, 1), PARAMETERS["conv1.bias"]],
        ),
        "pool1": ("Pooling", []),
        "norm1": ("LRN", []),
    }
)
MEAN = np.random.default_rng(0).uniform(80, 150, (3, 256, 256))
MEAN_FILE = protobuf_writer.blob(MEAN)
PHOTO = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer() as server:
        yield server


@pytest.fixture
def caffenet(server, monkeypatch):
    """The registered CaffeNet, but small, and on a server of our own."""
    entry = registry.get_entry("caffenet")
    changed = replace(
        entry,
        file=replace(
            entry.file,
            urls=(server("/gone", status(404)), server("/model", serve(MODEL))),
            checksum=f"sha1:{hashlib.sha1(MODEL).hexdigest()}",
        ),
        mean=replace(
            entry.mean,
            urls=(server("/mean", serve(MEAN_FILE)),),
            checksum=f"sha256:{hashlib.sha256(MEAN_FILE).hexdigest()}",
            size=len(MEAN_FILE),
        ),
    )
    monkeypatch.setitem(registry.REGISTRY, "caffenet", changed)
    return changed


def listed(name):
    return next(one for one in list_weights() if one["name"] == name)


def test_fetch(caffenet, server, data_home, capsys):
    with pytest.raises(WeightsError, match="not on this machine"):
        load_weights("caffenet")
    assert listed("caffenet")["path"] is None and listed("caffenet")["mean_path"] is None
    path = fetch_weights("caffenet")
    assert path == data_home / "weights" / "bvlc_reference_caffenet.caffemodel"
    assert path.read_bytes() == MODEL
    assert "kB" in capsys.readouterr().err
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(
        file.name for file in caffenet.files
    )
    assert listed("caffenet")["path"] == str(path)
    assert listed("caffenet")["mean_path"] == str(path.with_name("ilsvrc_2012_mean.npy"))

    count = len(server.requests)
    assert fetch_weights("caffenet") == path
    weights = load_weights("caffenet")
    assert len(server.requests) == count
    assert weights.source == "caffenet" and weights.architecture.name == "caffenet"
    image = weights.architecture.preprocessing.mean_image
    np.testing.assert_allclose(image.pixels.transpose(2, 0, 1), MEAN, rtol=1e-6)


def test_another_folder(caffenet, data_home, tmp_path):
    path = fetch_weights("caffenet", tmp_path / "mine", progress=False)
    assert path.parent == tmp_path / "mine" / "weights"
    assert list(data_home.iterdir()) == []
    assert load(path).architecture.name == "caffenet"


def test_files_that_were_put_there_by_hand(caffenet, server, data_home):
    folder = data_home / "weights"
    folder.mkdir()
    (folder / "bvlc_reference_caffenet.caffemodel").write_bytes(MODEL)
    with pytest.raises(WeightsError, match=r"get http.*/mean \(.*ilsvrc_2012_mean\.npy$"):
        load_weights("caffenet")  # only the other file is missing
    (folder / "ilsvrc_2012_mean.npy").write_bytes(MEAN_FILE)
    load_weights("caffenet")
    assert server.requests == []


def test_a_damaged_file_is_noticed(caffenet, data_home):
    for i, name in enumerate(["bvlc_reference_caffenet.caffemodel", "ilsvrc_2012_mean.npy"]):
        path = fetch_weights("caffenet", progress=False).with_name(name)
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{name}: its sha(1|256) is .*, not "):
            load_weights("caffenet")
        path.unlink()
        assert i < 2


def test_without_a_network(monkeypatch, data_home):
    """What is missing, from where, to where, and how to know that it is right."""
    entry = registry.get_entry("bvlc_alexnet")
    offline = {"urls": ("http://127.0.0.1:9/a", "http://nowhere.invalid/b")}
    monkeypatch.setitem(
        registry.REGISTRY,
        "bvlc_alexnet",
        replace(entry, file=replace(entry.file, **offline), mean=replace(entry.mean, **offline)),
    )
    for options in ({"download_if_missing": False}, {"n_retries": 0, "progress": False}):
        with pytest.raises(WeightsError) as caught:
            fetch_weights("bvlc_alexnet", **options)
        message = str(caught.value)
        assert all(url in message for url in offline["urls"])
        assert "9116a64c0fbe4459d18f4bb6b56d647b63920377" in message
        assert str(data_home / "weights" / "bvlc_alexnet.caffemodel") in message
    assert "no connection" in message


def test_real_urls_are_complete():
    for name in ("alexnet", "caffenet", "bvlc_alexnet", "decaf"):
        with pytest.raises(WeightsError) as caught:
            fetch_weights(name, download_if_missing=False)
        for file in registry.get_entry(name).files:
            assert file.urls and all(url.endswith("/" + file.name) for url in file.urls)
            assert file.urls[0].startswith("https://") and file.urls[0] in str(caught.value)
            # without a checksum nothing but the connection vouches for the file
            assert file.checksum or all(url.startswith("https://") for url in file.urls)


def test_names():
    with pytest.raises(WeightsError, match="no weights are called 'vgg'"):
        fetch_weights("vgg")
    assert fetch_weights("efficientnet_lite0").suffix == ".pth"


# -- the transformer --


def transformer(**options):
    return DeCAFTransformer("conv1", weights="caffenet", pooling="avg", **options)


def test_the_transformer_fetches_when_it_is_fitted(caffenet, server):
    network = transformer()
    assert not hasattr(network, "no_such_attribute")
    repr(network), hasattr(network, "_n_features_out"), network._repr_html_(), clone(network)
    pickle.dumps(network)
    assert server.requests == []  # looking at it is not using it
    for use in (network.transform, network.predict_labels):
        with pytest.raises(WeightsError, match=r"call .*fetch_weights\('caffenet'\).* or get http"):
            use([PHOTO])
    assert server.requests == []  # whoever transforms may be a worker
    rows = network.fit_transform([PHOTO])
    assert rows.shape == (1, 96)
    assert len(server.requests) == 3
    copy = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(copy.transform([PHOTO]), rows)
    np.testing.assert_array_equal(transformer().transform([PHOTO]), rows)
    assert len(server.requests) == 3


@pytest.mark.parametrize("use", ["fit", "fit_transform", "extract"])
def test_whoever_asks_for_a_download_gets_it(use, caffenet, server, tmp_path):
    if use == "extract":
        result = extract(["missing.jpg"], tmp_path / "x", transformer=transformer(), verbose=False)
        assert result.n_features == 96
    else:
        getattr(transformer(), use)([PHOTO])
    assert len(server.requests) == 3


@pytest.mark.parametrize("method", ["transform", "fit", "fit_transform"])
def test_an_unpickled_transformer_fetches_nothing(method, caffenet, server, tmp_path):
    """Workers of all engines get their transformers that way, and look like any process."""
    copies = [pickle.loads(pickle.dumps(transformer())), clone(transformer())]
    copies += [copy.deepcopy(copies[0]), clone(copies[0]), pickle.loads(pickle.dumps(copies[0]))]
    del copies[1]  # a clone of what was never pickled may
    for one in copies:
        assert "fetch_weights('caffenet')" in outcome(one, method, [PHOTO])
        pipeline = make_pipeline(one, "passthrough")
        assert "fetch_weights('caffenet')" in outcome(pipeline, "fit_transform", [PHOTO])
        with pytest.raises(WeightsError, match="fetch_weights"):
            extract(["a.jpg"], tmp_path / "x", transformer=one, verbose=False)
    assert server.requests == []
    for one in (copy.deepcopy(transformer()), copy.copy(transformer())):
        one.fit([PHOTO])
    assert len(server.requests) == 3
    assert outcome(copies[0], method, [PHOTO]) == "done"  # now they are there


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_a_worker_process_of_joblib_fetches_nothing(backend, caffenet, server):
    for method in ("transform", "fit"):
        messages = Parallel(n_jobs=2, backend=backend)(
            delayed(outcome)(transformer(), method, [PHOTO]) for _ in "12"
        )
        for message in messages:
            assert "worker processes" in message and "fetch_weights('caffenet')" in message
    assert server.requests == []


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_process_of_multiprocessing_fetches_nothing(method, caffenet, server):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=put_outcome, args=(queue, transformer(), "fit", [PHOTO]))
    process.start()
    assert "fetch_weights('caffenet')" in queue.get(timeout=120)
    process.join()
    assert server.requests == []


@pytest.mark.slow
def test_processes_at_once(caffenet, server, data_home, tmp_path):
    """Several programs that start together load each file once."""
    server("/model", serve(MODEL, pause=0.05))
    url = caffenet.file.urls[1]
    code = f"""
        from dataclasses import replace
        from sklearn_decaf.networks.weights import fetch_weights, registry
        entry = registry.get_entry("caffenet")
        registry.REGISTRY["caffenet"] = replace(
            entry,
            file=replace(entry.file, urls=({url!r},), checksum={caffenet.file.checksum!r}),
            mean=replace(entry.mean, urls={caffenet.mean.urls!r}, checksum=None, size=None),
        )
        print(fetch_weights("caffenet", progress=False))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) for _ in range(3)]
    for run in runs:
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0 and b"bvlc_reference_caffenet" in output
    assert len(server.requests) == 2


# -- how sure --


@pytest.mark.slow
def test_how_sure_it_is(tmp_path):
    weights = load_weights("squeezenet1_1")
    assert weights.certainty == "certain"
    assert weights.evidence.startswith("registered as squeezenet1_1; all 52 arrays")

    def judged(content, name="x", **options):
        path = tmp_path / name
        path.write_bytes(content)
        loaded = load(path, **options)
        return loaded.format, loaded.certainty, loaded.evidence

    kind, certainty, evidence = judged(MODEL)
    assert (kind, certainty) == ("caffemodel", "likely")  # two of 16 arrays
    assert "2 of 16 arrays" in evidence and "order of the layers decides" in evidence
    layers = {"conv1": ("Convolution", [PARAMETERS["conv1.kernel"].transpose(3, 2, 0, 1),
                                        PARAMETERS["conv1.bias"]])}  # fmt: skip
    kind, certainty, evidence = judged(protobuf_writer.caffemodel(layers, "CaffeNet"))
    assert certainty == "likely" and "name of the network decides" in evidence
    nameless = protobuf_writer.caffemodel(layers, "mine")
    kind, certainty, evidence = judged(nameless, architecture="bvlc_alexnet")
    assert certainty == "told" and "caffenet" in evidence and "caller chose" in evidence
