"""Files appear whole or not at all, and never over another one unless asked."""

from __future__ import annotations

import pytest

from vos_occ.results.output import LineWriter, atomic_file, require_new, write_atomically
from vos_occ.structures import OutputExistsError, UserError


def test_a_free_path_and_an_empty_folder_may_be_written(tmp_path):
    require_new(tmp_path / "absent", overwrite=False)
    require_new(tmp_path, overwrite=False)


def test_an_existing_file_is_named_with_the_cure(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputExistsError) as error:
        require_new(tmp_path / "x", overwrite=False)
    assert str(error.value) == f"Output file '{tmp_path / 'x'}' already exists. Use --overwrite to replace."
    require_new(tmp_path / "x", overwrite=True)


@pytest.mark.parametrize(("content", "expected"), [("ö\n", "ö\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_text_and_bytes_are_written_as_given(tmp_path, content, expected):
    write_atomically(tmp_path / "new" / "x", content)
    assert (tmp_path / "new" / "x").read_bytes() == expected


def test_a_failure_keeps_the_old_content_and_leaves_no_part(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_on_disk_as_they_are_written(tmp_path):
    with LineWriter(tmp_path / "x") as lines:
        assert not (tmp_path / "x").exists()
        lines.write("one")
        assert (tmp_path / "x").read_text() == "one\n"
        lines.write("two")
    assert (tmp_path / "x").read_text() == "one\ntwo\n"


def test_an_error_keeps_the_lines_that_were_written(tmp_path):
    with pytest.raises(RuntimeError), LineWriter(tmp_path / "x") as lines:
        lines.write("one")
        raise RuntimeError
    assert (tmp_path / "x").read_text() == "one\n"


def test_an_error_before_the_first_line_makes_no_file(tmp_path):
    with pytest.raises(RuntimeError), LineWriter(tmp_path / "x"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_closed_file_takes_no_more_lines(tmp_path):
    lines = LineWriter(tmp_path / "x")
    lines.close()
    lines.close()
    with pytest.raises(ValueError, match="closed"):
        lines.write("late")


@pytest.mark.parametrize(("folder", "message"), [(True, "should be a folder, but a file"), (False, "should be a file")])
def test_a_file_is_never_replaced_by_a_folder_nor_a_folder_by_a_file(tmp_path, folder, message):
    path = tmp_path / "x"
    path.write_text("") if folder else path.mkdir()
    with pytest.raises(OutputExistsError, match=message):
        require_new(path, overwrite=True, folder=folder)


def test_a_place_where_nothing_can_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "x.txt"
    with pytest.raises(UserError, match=r"Cannot write '.*x\.txt': .*\. Choose another place\."):
        write_atomically(path, "")
    with pytest.raises(UserError, match="Cannot write"):
        LineWriter(path).write("")
