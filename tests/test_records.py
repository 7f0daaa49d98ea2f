"""Records: whole rows or none, whatever kills the writer, and no machine's paths in them."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizable.errors import RecordError
from quantizable.records import append_record, command_line, portable, provenance, read_records, records_file

ROW = {"kind": "epoch", "epoch": 1, "loss": {"fp32": 0.5}, "name": "größe"}
FIGURES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ROWS = st.dictionaries(st.text(), st.recursive(FIGURES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))


@given(rows=st.lists(ROWS, max_size=4))
def test_rows_come_back_as_they_were_written(rows, tmp_path_factory):
    """Promise of append_record and read_records: values, order, and any text in them."""
    folder = tmp_path_factory.mktemp("records")
    (folder / "records.jsonl").touch()
    for row in rows:
        append_record(folder, row)
    assert list(read_records(folder)) == rows
    assert read_records(folder).unfinished_bytes == 0


def test_a_row_is_one_line_with_sorted_keys(tmp_path):
    """Promise: rows can be compared as text; a file may be named instead of its folder, missing folders are made."""
    append_record(tmp_path / "a" / "own.jsonl", {"b": (1, 2), "a": "two\nlines"})
    assert (tmp_path / "a" / "own.jsonl").read_text() == '{"a": "two\\nlines", "b": [1, 2]}\n'
    assert records_file(tmp_path) == tmp_path / "records.jsonl"


def test_a_line_cut_at_any_byte_is_left_out_then_replaced(tmp_path):
    """Promise: after a kill inside a write the file reads on, and the next row does not grow onto the open one."""
    append_record(tmp_path, ROW)
    first = (tmp_path / "records.jsonl").read_bytes()
    for n_bytes in range(1, len(first) - 1):  # one byte less: the whole row without its line end, see below
        (tmp_path / "records.jsonl").write_bytes(first + first[:n_bytes])
        records = read_records(tmp_path)
        assert (list(records), records.unfinished_bytes) == ([ROW], n_bytes)
        append_record(tmp_path, ROW)
        assert (tmp_path / "records.jsonl").read_bytes() == first + first


def test_a_last_row_without_line_end_counts(tmp_path):
    """An editor leaves such a file: the row is whole, nothing of it is lost."""
    (tmp_path / "records.jsonl").write_text('{"a": 1}')
    assert list(read_records(tmp_path)) == [{"a": 1}]
    append_record(tmp_path, {"a": 2})
    assert list(read_records(tmp_path)) == [{"a": 1}, {"a": 2}]


def test_rows_survive_a_writer_that_is_killed(tmp_path):
    """Promise: what append_record returned from is on the disk; kill -9 at any moment leaves at most one open line."""
    program = (
        "import sys; from quantizable.records import append_record\n"
        "for n in range(10**9):\n    append_record(sys.argv[1], {'n': n, 'fill': 'x' * 5000})\n    print(n, flush=True)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(30):
        reported = int(writer.stdout.readline())
    writer.kill()
    writer.stdout.close()
    writer.wait()
    written = [row["n"] for row in read_records(tmp_path)]
    assert written == list(range(len(written)))
    assert len(written) > reported
    append_record(tmp_path, {"n": -1})
    assert [row["n"] for row in read_records(tmp_path)][-2:] == [written[-1], -1]


def test_processes_that_write_at_once_do_not_mix_rows(tmp_path):
    """Promise: one write a row, under a lock."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(str(tmp_path), who)) for who in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    rows = read_records(tmp_path)
    assert sorted((row["who"], row["n"]) for row in rows) == [(who, n) for who in range(2) for n in range(40)]


def _append_many(folder: str, who: int) -> None:
    for n in range(40):
        append_record(folder, {"who": who, "n": n, "fill": "x" * 20000})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"loss": {"fp32": math.nan}}, r"key 'loss\.fp32' is nan"),
        ({"ms": [1.0, -math.inf]}, r"key 'ms\[1\]' is -inf"),
        ({"path": Path("x")}, r"key 'path' holds a \w*Path"),
        ({"modes": {8: 1.0}}, r"key 'modes' has a key of type int, found 8"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name(row, words, tmp_path):
    """Errors of append_record: the key is named, and nothing is written."""
    with pytest.raises(RecordError, match=words):
        append_record(tmp_path, row)
    assert not (tmp_path / "records.jsonl").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [("{nonsense}", "not a JSON row"), ("[1]", "a row is a JSON object, found list"), ('{"a": NaN}', "found NaN"), ("", "not a JSON row")],
)
def test_a_broken_finished_line_is_an_error_with_its_number(line, words, tmp_path):
    """Errors of read_records: file and line."""
    (tmp_path / "records.jsonl").write_text(f'{{"a": 1}}\n{line}\n{{"a": 2}}\n')
    with pytest.raises(RecordError, match=rf"records\.jsonl:2: .*{words}"):
        read_records(tmp_path)


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    """Errors of read_records: not a crash in the decoder."""
    (tmp_path / "records.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(RecordError, match=r"records\.jsonl:1: not a JSON row"):
        read_records(tmp_path)


def test_a_missing_file_and_a_folder_in_the_way_are_errors(tmp_path):
    """Errors: what was looked for and what to give."""
    with pytest.raises(RecordError, match=r"no records, No such file .*give a folder that holds records\.jsonl"):
        read_records(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cannot append a row"):
        append_record(tmp_path / "file" / "below", ROW)


def test_a_full_disk_leaves_no_part_of_a_row(tmp_path, monkeypatch):
    """Promise: a write that takes only a part is undone and reported."""
    append_record(tmp_path, ROW)
    before = (tmp_path / "records.jsonl").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    with pytest.raises(RecordError, match="was not taken whole; free space"):
        append_record(tmp_path, ROW)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_provenance_can_be_written_and_holds_what_a_reader_needs(tmp_path):
    """Contract of the first row of a run: docs/records.md."""
    row = provenance()
    append_record(tmp_path, row)
    assert list(read_records(tmp_path)) == [row]
    assert {"command", "commit", "versions", "machine", "threads", "date"} == set(row)
    assert row["versions"]["python"].startswith("3.")
    assert row["machine"]["cores"] >= 1
    assert abs((datetime.now(UTC) - datetime.fromisoformat(row["date"])).total_seconds()) < 60


def test_provenance_does_not_load_torch_but_names_it_when_loaded():
    """Promise: records cost nothing to commands that do not train."""
    program = "import sys; from quantizable.records import provenance; row = provenance(); print('torch' in sys.modules, row['threads'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None"]
    torch = pytest.importorskip("torch")
    row = provenance()
    assert row["versions"]["torch"] == str(torch.__version__)
    assert row["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HERE/results/x", "results/x"),
        ("HERE", "."),
        ("HEREAFTER/x", "x"),
        ("/home/someone/my data/cifar.npz", "cifar.npz"),
        ("data.path=/home/someone/cifar.npz", "data.path=cifar.npz"),
        ("--out=HERE/results", "--out=results"),
        ("a:/x/b,/y/c", "a:b,c"),
        ("../shared/data", "../shared/data"),
        ("https://host/path", "https://host/path"),
        ("train.lr=1/2", "train.lr=1/2"),
    ],
)
def test_paths_of_the_machine_do_not_get_into_records(text, expected, tmp_path, monkeypatch):
    """Promise of portable: below the working folder relative, elsewhere the last name; other text as it was."""
    monkeypatch.chdir(tmp_path)
    assert portable(text.replace("HERE", str(tmp_path))) == expected


def test_a_command_line_reads_as_it_was_typed(tmp_path, monkeypatch):
    """Promise of command_line: it can be pasted."""
    monkeypatch.chdir(tmp_path)
    assert command_line(["/env/bin/quantizable", "train", "a b.toml"]) == "quantizable train 'a b.toml'"
    assert command_line(["/env/lib/quantizable/__main__.py", "check"]) == "python -m quantizable check"
    assert command_line([f"{tmp_path}/benchmarks/step.py"]) == "python benchmarks/step.py"


def test_records_are_plain_json_lines(tmp_path):
    """Another program reads them line by line."""
    append_record(tmp_path, ROW)
    append_record(tmp_path, ROW)
    assert [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()] == [ROW, ROW]
