"""Where training may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from vos_occ.structures.errors import OutputExistsError
from vos_occ.training import require_fresh


@pytest.mark.parametrize("allowed", [True, False])
def test_a_file_is_no_work_dir(tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "work").write_text("mine")
    with pytest.raises(OutputExistsError, match="should be a folder, but a file has this name"):
        require_fresh(tmp_path / "work", allowed)


def test_a_folder_without_checkpoints_is_fresh(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    require_fresh(tmp_path, allowed=False)
    require_fresh(tmp_path / "absent", allowed=False)
    (tmp_path / "iter_9.pth").write_bytes(b"")
    require_fresh(tmp_path, allowed=True)
    with pytest.raises(OutputExistsError, match="--resume"):
        require_fresh(tmp_path, allowed=False)
