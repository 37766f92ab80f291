"""Workers and turns: the whole of it on small models, and what happens when a process fails or is interrupted."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bert_numpy import BertTokenizer
from bert_numpy.benchmarks import Settings, processes, run_benchmarks, running, serving, worker
from bert_numpy.benchmarks.measures import TOLERANCE
from bert_numpy.hub import find_model


@pytest.fixture
def hasty(monkeypatch):
    """Turns of one run, without pauses."""
    monkeypatch.setattr(running, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(running, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def started(monkeypatch):
    """All processes that are started during a test."""
    found = []
    popen = subprocess.Popen

    def spying(*arguments, **options):
        found.append(popen(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", spying)
    return found


def tiny_random(*only, **changes):
    """The settings for cases on the model that ships; it takes 37 tokens at most."""
    folder = find_model("tiny-random")
    return Settings(str(folder), only=only, repeats=2, tokenizer=BertTokenizer.from_pretrained(folder), **changes)


# ---- all of it, alone -------------------------------------------------------


def test_this_package_alone(hasty, started):
    """Every kind of case that the model that ships can run; the others say why they do not."""
    said = []
    report = run_benchmarks(tiny_random("forward", "sentences", "tokenize", "load", "start", "memory"), said.append)
    results = {result.case.name: result for result in report.results}
    too_long = {"forward-1x128", "forward-8x128", "forward-1x512"}
    for name, result in results.items():
        if name.removeprefix("memory-") in too_long or name == "memory-train-8x128":
            assert (result.ours, result.note) == (None, "the model takes at most 37 tokens")
        elif result.case.kind == "memory":
            assert sys.platform == "win32" or 10e6 < result.ours.median < 1e9  # no Python with NumPy needs less
        else:
            assert len(result.ours.values) == 2
            assert all(0 < seconds < 10 for seconds in result.ours.values)
    assert results["start"].ours.median > results["load"].ours.median
    assert {name for name, result in results.items() if result.floor} == {"forward-1x16", "sentences"}
    assert results["tokenize-text"].size > 200_000
    assert report.about.keys() >= {"python", "numpy"}
    assert "forward, 1 x 16: round 2 of 2" in said
    assert all(process.returncode == 0 for process in started)


def test_training_alone(hasty):
    report = run_benchmarks(Settings("tiny", only=("backward", "train"), repeats=1))
    backward, train = report.results
    assert backward.ours.median > backward.floor.median > 0
    assert train.ours.median > 0
    assert train.floor is None


def test_every_round_asks_each_variant_once_and_turns_round(monkeypatch):
    """The order of turns, and that a variant far behind is left out after two rounds."""
    asked = []
    speeds = {"numpy": 1.0, "floor": 0.5, "sdpa": 2.0, "eager": 2.1, "slow": 2.3}
    benchmark = running.Benchmark(Settings(repeats=3), None, lambda line: None)

    def turn(number, variant):
        asked.append(variant)
        return [speeds[variant]] * 3

    monkeypatch.setattr(benchmark, "_turn", turn)
    case = running.find_case("forward-1x16")
    ours, theirs, floor = benchmark._rounds(case, [["numpy", "floor"], ["sdpa", "eager", "slow"]])
    warm_up, first, second, third = asked[:5], asked[5:10], asked[10:15], asked[15:]
    assert warm_up == first == ["numpy", "floor", "sdpa", "eager", "slow"]
    assert second == first[::-1]
    assert third == ["numpy", "floor", "sdpa", "eager"]
    assert (ours.values, floor.values) == ((1.0,) * 3, (0.5,) * 3)
    assert (theirs.variant, theirs.values) == ("sdpa", (2.0,) * 3)


# ---- the loop of a worker ---------------------------------------------------


def answers(prepare, *requests):
    replies = io.StringIO()
    serving.answer([json.dumps(request) + "\n" for request in requests], replies, prepare)
    return [json.loads(line) for line in replies.getvalue().splitlines()]


def test_a_worker_prepares_checks_runs_and_releases(tmp_path):
    ran = []

    def prepare(case):
        return serving.Prepared(
            {"fast": lambda: ran.append(case["name"]), "slow": lambda: time.sleep(0.02)},
            lambda: {"y": np.array([case["name"]])},
            before=lambda: ran.append("before"),
        )

    file = tmp_path / "y.npz"
    replies = answers(
        prepare,
        {"do": "prepare", "case": {"name": 7}},
        {"do": "check", "file": str(file)},
        {"do": "run", "variant": "fast", "seconds": 0},
        {"do": "run", "variant": "slow", "seconds": 0.05},
        {"do": "release"},
    )
    assert replies[0] == {"variants": ["fast", "slow"]}
    assert serving.read_arrays(file)["y"].tolist() == [7]
    assert ran[:2] == ["before", 7]
    assert len(replies[2]["seconds"]) == 1
    assert len(replies[3]["seconds"]) in (1, 2, 3)
    assert all(seconds >= 0.019 for seconds in replies[3]["seconds"])


def test_what_is_done_before_a_run_is_not_timed():
    (seconds,) = serving.timed(lambda: None, 0, before=lambda: time.sleep(0.05))
    assert seconds < 0.05


@pytest.mark.skipif(sys.platform == "win32", reason="not told there")
def test_the_peak_of_memory_sees_an_array_come_and_go():
    before = serving.peak_memory()
    array = np.ones(60_000_000 // 8)
    del array
    code = "import numpy as np; from bert_numpy.benchmarks.serving import peak_memory; a = peak_memory();"
    code += "x = np.ones(10_000_000); del x; print(peak_memory() - a)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=processes.environment(1), text=True
    )
    assert 60e6 < int(found.stdout) < 120e6  # 80 MB, of which some lay free
    assert before > 0


def test_the_peak_of_memory_is_the_process_own_not_that_of_its_parent():
    """Linux carries the parent's over into `ru_maxrss`."""
    big = np.ones(40_000_000)  # 320 MB
    code = "from bert_numpy.benchmarks.serving import peak_memory; print(peak_memory() or 0)"
    environment = processes.environment(1)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment, text=True)
    assert int(found.stdout) < big.nbytes


def test_workers_have_their_threads_set_before_numpy_is_imported():
    environment = processes.environment(3)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        assert environment[name] == "3"
    assert environment["RAYON_NUM_THREADS"] == "1"


# ---- what goes wrong --------------------------------------------------------


def test_a_worker_that_fails_is_one_line_with_its_last_words(tmp_path, started):
    code = "import sys; sys.stdin.readline(); raise MemoryError('no room for 3 GB')"
    with (
        pytest.raises(processes.WorkerError) as caught,
        processes.Worker("transformers", ("-c", code), 1, tmp_path) as failing,
    ):
        failing.ask("prepare", case={})
    message = str(caught.value)
    assert message.startswith("the worker of transformers ended with exit code 1 while preparing: ")
    assert message.endswith("MemoryError: no room for 3 GB")
    assert "\n" not in message
    assert started[0].returncode == 1


def test_of_many_last_words_the_last_three_lines_are_quoted(tmp_path):
    code = "raise SystemExit('one\\ntwo\\nthree\\nfour')"
    with processes.Worker("bert_numpy", ("-c", code), 1, tmp_path) as failing:  # noqa: SIM117
        with pytest.raises(processes.WorkerError, match=r"while starting: two \| three \| four$"):
            failing.finish()


def test_a_busy_worker_is_ended_at_once_after_an_error(tmp_path, started):
    """It does not look at its stdin; waiting for it would take ten seconds."""
    start = time.perf_counter()
    with (
        pytest.raises(KeyboardInterrupt),
        processes.Worker("bert_numpy", ("-c", "import time; time.sleep(60)"), 1, tmp_path),
    ):
        raise KeyboardInterrupt
    assert time.perf_counter() - start < 8
    assert started[0].poll() is not None


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_is_killed_says_by_what(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with processes.Worker("bert_numpy", ("-c", code), 1, tmp_path) as killed:
        killed._process.wait()
        with pytest.raises(processes.WorkerError, match="was killed by signal 9 while running: it wrote nothing"):
            killed.ask("run", variant="numpy", seconds=0)


def test_half_a_reply_is_no_reply(tmp_path):
    code = "import os; os.write(1, b'{\"seconds\": [0.1')"
    with processes.Worker("bert_numpy", ("-c", code), 1, tmp_path) as cut:  # noqa: SIM117
        with pytest.raises(processes.WorkerError, match="ended with exit code 0 while starting"):
            cut.read()


def test_what_a_library_prints_does_not_disturb_the_replies(tmp_path):
    code = (
        "from bert_numpy.benchmarks.serving import Prepared, serve\n"
        "def prepare(case): print('chatter'); return Prepared({'a': lambda: print('more')}, dict)\n"
        "serve(prepare, {'x': '1'})"
    )
    with processes.Worker("bert_numpy", ("-c", code), 1, tmp_path) as chatty:
        assert chatty.read() == {"about": {"x": "1"}}
        assert chatty.ask("prepare", case={}) == {"variants": ["a"]}
        assert len(chatty.ask("run", variant="a", seconds=0)["seconds"]) == 1


def test_an_interrupt_ends_the_workers_and_leaves_nothing(hasty, started, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def interrupt(line):
        if "round 1" in line:
            assert list(tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_benchmarks(tiny_random("forward"), interrupt)
    assert len(started) == 2  # who made the checkpoint, and the worker
    assert all(process.poll() is not None for process in started)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_ends_with_its_parent(started):
    """Who holds the other end of its stdin is gone."""
    process = subprocess.Popen(
        [sys.executable, *processes.OURS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=processes.environment(1),
    )
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def test_a_reference_that_is_not_installed_is_named_with_the_remedy():
    with pytest.raises(ValueError, match="needs what is not installed here: no_such_package; pip") as caught:
        processes.check_reference(["json", "no_such_package"])
    assert 'pip install "bert-numpy[reference]"' in str(caught.value)


def test_a_checkpoint_that_cannot_be_made_ends_everything(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(ValueError, match="gpt2"):
        run_benchmarks(Settings(str(tmp_path), only=("forward",)))


def test_sides_that_compute_different_things_are_not_timed(tmp_path, monkeypatch):
    files = [tmp_path / "ours.npz", tmp_path / "theirs.npz"]
    serving.write_arrays(files[0], {"y": np.array([1.0, 1.0])})
    serving.write_arrays(files[1], {"y": np.array([1.0, 1.0 + 1e-3])})
    difference = running._compare_files(files)
    assert difference.relative > TOLERANCE
    benchmark = running.Benchmark(Settings(), running.Workspace(tmp_path), lambda line: None)
    monkeypatch.setattr(benchmark, "_compare", lambda case: difference)
    monkeypatch.setattr(benchmark, "_rounds", lambda *_: pytest.fail("was timed"))
    result = benchmark.measure(running.find_case("forward-1x16"))
    assert (result.ours, result.ok) == (None, False)
    assert result.note == "not measured: y differs by 7e-04 of its RMS"


def test_a_model_of_ones_own_is_measured_as_a_classifier_of_two_labels(tmp_path):
    """Whatever heads and labels it has."""
    from bert_numpy import BertForSequenceClassification

    worker.make_checkpoint(str(find_model("tiny-random")), str(tmp_path))
    model = BertForSequenceClassification.from_pretrained(tmp_path)
    assert model.config.num_labels == 2
    assert model.dtype == np.float32
    original = BertForSequenceClassification.from_pretrained("tiny-random", rng=0)
    assert np.array_equal(
        model.bert.embeddings.word_embeddings.weight.data, original.bert.embeddings.word_embeddings.weight.data
    )


def test_nothing_but_the_reference_worker_names_the_reference():
    folder = Path(running.__file__).parent
    for path in folder.glob("*.py"):
        imports_torch = "import torch" in path.read_text(encoding="utf-8")
        assert imports_torch == (path.name == "reference_worker.py"), path.name


# ---- against the reference --------------------------------------------------


@pytest.mark.reference
@pytest.mark.slow
def test_against_transformers(hasty):
    """All kinds of cases on the tiny size: equal outputs, and a number for each side."""
    for package in processes.REFERENCE_PACKAGES:
        pytest.importorskip(package)
    folder = find_model("tiny-random")
    settings = Settings(
        "tiny",
        reference=True,
        only=("forward", "sentences", "backward", "train", "tokenize", "load", "start", "memory-start"),
        repeats=1,
        tokenizer=BertTokenizer.from_pretrained(folder),
    )
    report = run_benchmarks(settings)
    assert report.ok
    for result in report.results:
        assert result.ratio > 0, result
        if result.case.kind != "memory":
            assert result.difference.relative < 2e-5, result
    assert report.about["torch threads"] == "1"
    variants = {result.case.name: result.reference.variant for result in report.results}
    assert variants["forward-8x128"] in ("eager", "sdpa")
    assert variants["train-8x128"].partition(", ")[2] in ("plain", "foreach", "fused")


@pytest.mark.reference
def test_a_wrong_weight_on_one_side_is_noticed(hasty, tmp_path):
    """The reference reads another checkpoint: one gain of one LayerNorm is 1 % larger."""
    for package in processes.REFERENCE_PACKAGES:
        pytest.importorskip(package)
    from bert_numpy.checkpoints import safetensors

    class Meddling(running.Benchmark):
        def _compare(self, case):
            path = self.workspace.checkpoint / "model.safetensors"
            tensors = safetensors.load_file(path, mmap=False)
            tensors["bert.encoder.layer.0.output.LayerNorm.weight"][3] *= 1.01
            safetensors.save_file(tensors, path)
            self._sides[1].worker.ask("prepare", case=self.workspace.describe(case))
            return super()._compare(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "Benchmark", Meddling)
        report = run_benchmarks(tiny_random("forward-1x16", reference=True))
    assert not report.ok
    assert report.results[0].ours is None
    assert report.results[0].note.startswith("not measured: ")
