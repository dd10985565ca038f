"""Whole files take the place of files only: links are followed, pipes and devices stay what they are."""

from __future__ import annotations

import os
import threading

import pytest

from iker_agent.atomic import replace_file

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path):
    target = tmp_path / "target.json"
    target.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    replace_file(link, lambda file: file.write_text("new"))
    assert link.is_symlink() and target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "target.json"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    replace_file(pipe, lambda file: file.write_text("result"))
    reader.join(timeout=20)
    assert pipe.is_fifo() and received == ["result"]


def test_a_folder_is_not_replaced(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(folder, lambda file: file.write_text("x"))
    assert folder.is_dir()
